"""The header of a GGUF file, read once before a library follows it: whether all that it promises is in the file.

The package ``gguf`` takes counts and lengths as they stand: of a damaged file it names an index, or takes memory
without end. The format is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import math
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from hcl_core.errors import DamagedModelError, UnsupportedArchitectureError, cause_of

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Letter of ``struct`` for each kind of number, as the format counts them; 8 is a text, 9 a list.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
# Values in all lists together: a vocabulary of 262,144 tokens with their scores, kinds and merges has 1.3 million. The
# libraries hold some hundred bytes for each.
_MOST_VALUES = 2**22
# Fields and tensors together: a model of 61 blocks with 256 experts apart has 47,000 tensors. The libraries hold some
# thousand bytes for each.
_MOST_ENTRIES = 2**17
# Bytes of a header: with all of a large vocabulary, and the same once more as a text, it has 60 MB.
_MOST_BYTES = 2**27
_MOST_DIMENSIONS = 4
_USUAL_ALIGNMENT = 32
_BLOCK = re.compile(r"blk\.(\d{1,9})\.")


def num_weights_in(path: Path) -> int:
    """Numbers in all tensors of a GGUF file, whose header is checked.

    Raises:
        DamagedModelError: The file cannot be read, is cut off, or contradicts itself.
        UnsupportedArchitectureError: It is of a version that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _Header(file, path.stat().st_size).read(str(path))
    except OSError as error:
        raise DamagedModelError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError as error:
        raise DamagedModelError(f"{path} is damaged or incomplete: {error}: fetch it again") from None


class _Header:
    """Reads one header from its beginning; raises ``ValueError`` for what cannot be."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._at, self._order, self._num_values = 0, "<", 0

    def read(self, name: str) -> int:
        if self._bytes(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._number("I")
        if version % 2**16 == 0:  # of a machine with the other order of bytes
            (version,), self._order = struct.unpack(">I", struct.pack("<I", version)), ">"
        if version not in _VERSIONS:
            raise UnsupportedArchitectureError(
                f"{name} is a GGUF file of version {version}; {_VERSIONS[0]} and {_VERSIONS[1]} can be read: give the "
                "model that it was made from, or fetch it again"
            )
        num_tensors, num_fields = self._number("Q"), self._number("Q")
        if num_tensors + num_fields > _MOST_ENTRIES:
            raise ValueError(f"its header has more than {_MOST_ENTRIES:,} fields and tensors")
        fields: dict[str, object] = {}
        for _ in range(num_fields):
            key = self._utf8()
            if key in fields:
                raise ValueError(f"its header names {key[:60]!r} twice")
            fields[key] = self._value(self._number("I"))
        return self._tensors(num_tensors, fields)

    def _tensors(self, num_tensors: int, fields: dict[str, object]) -> int:
        alignment = fields.get("general.alignment", _USUAL_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise ValueError("its header has an alignment that is no power of 2")
        places: dict[str, tuple[int, int]] = {}
        num_weights = 0
        for _ in range(num_tensors):
            name = self._utf8()
            if name in places:
                raise ValueError(f"its header names {name[:60]!r} twice")
            weights, taken, begin = self._tensor(name)
            num_weights, places[name] = num_weights + weights, (begin, begin + taken)
        data, end = self._size - -(-self._at // alignment) * alignment, 0
        for name, (begin, after) in sorted(places.items(), key=lambda place: place[1]):
            if begin < end:
                raise ValueError(f"its tensor {name[:60]!r} begins within another one")
            if after > data:
                raise ValueError(f"it ends {after - data:,} bytes before its tensor {name[:60]!r} does")
            end = after
        _check_blocks(fields, places)
        return num_weights

    def _tensor(self, name: str) -> tuple[int, int, int]:
        """Numbers of the next tensor, its bytes, and where they begin among the data."""
        num_dimensions = self._number("I")
        if num_dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"its tensor {name[:60]!r} has {num_dimensions} dimensions")
        sizes = [self._number("Q") for _ in range(num_dimensions)]
        kind, begin = self._number("I"), self._number("Q")
        try:
            per_block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except (ValueError, KeyError):
            raise ValueError(f"its tensor {name[:60]!r} has numbers of a kind that is not known, {kind}") from None
        num_weights = math.prod(sizes)
        if sizes and sizes[0] % per_block:
            raise ValueError(f"its tensor {name[:60]!r} has rows that are no whole blocks")
        return num_weights, num_weights // per_block * block_bytes, begin

    def _value(self, kind: int) -> object:
        """The next value, a number or a text; ``None`` for a list, which is passed over."""
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind == _TEXT:
            return self._utf8()
        if kind != _LIST:
            raise ValueError(f"its header has a value of a kind that is not known, {kind}")
        kind, length = self._number("I"), self._number("Q")
        self._num_values += length
        if self._num_values > _MOST_VALUES:
            raise ValueError(f"its header has lists of more than {_MOST_VALUES:,} values")
        if kind in _NUMBERS:
            self._pass_over(length * struct.calcsize(f"<{_NUMBERS[kind]}"))
        elif kind == _TEXT:
            for _ in range(length):
                self._utf8()
        else:
            raise ValueError(f"its header has a list of a kind that is not known, {kind}")
        return None

    def _utf8(self) -> str:
        try:
            return self._bytes(self._number("Q")).decode()
        except UnicodeDecodeError:
            raise ValueError("its header has a text that is no UTF-8") from None

    def _number(self, letter: str) -> int:
        form = self._order + letter
        number: int = struct.unpack(form, self._bytes(struct.calcsize(form)))[0]
        return number

    def _bytes(self, length: int) -> bytes:
        self._advance(length)
        content = self._file.read(length)
        if len(content) < length:
            raise ValueError("it has become shorter while it was read")
        return content

    def _pass_over(self, length: int) -> None:
        self._advance(length)
        self._file.seek(self._at)

    def _advance(self, length: int) -> None:
        self._at += length
        if self._at > self._size:
            raise ValueError(f"it has {self._size:,} bytes and ends within its header")
        if self._at > _MOST_BYTES:
            raise ValueError(f"its header has more than {_MOST_BYTES:,} bytes")


def _check_blocks(fields: Mapping[str, object], tensors: Iterable[str]) -> None:
    """Raise ``ValueError`` unless tensors are of as many blocks as the metadata say; a part of several has fewer."""
    said = fields.get(f"{fields.get('general.architecture')}.block_count")
    blocks = {int(match[1]) for name in tensors if (match := _BLOCK.match(name))}
    is_whole = fields.get("split.count", 1) in (0, 1)
    if is_whole and blocks and blocks != set(range(said if isinstance(said, int) and said < 2**16 else 0)):
        raise ValueError(f"its header says {said} blocks, and its tensors are of {len(blocks)}")
