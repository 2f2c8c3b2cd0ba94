"""Files that a user names are read up to a limit."""

import os
from pathlib import Path

import pytest

from hcl_core.user_files import read_bytes_limited, read_text_limited


def test_bytes_up_to_the_limit_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bytes_limited(file, 5) == b"12345"


def test_a_file_one_byte_longer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"123456")
    with pytest.raises(OSError, match="larger than 5 bytes"):
        read_bytes_limited(file, 5)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_an_endless_device_is_refused() -> None:
    with pytest.raises(OSError, match="no regular file"):
        read_bytes_limited(Path("/dev/zero"), 5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_without_a_writer_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        read_bytes_limited(tmp_path / "pipe", 5)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no regular file"):
        read_bytes_limited(tmp_path, 5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such file here")
def test_a_file_whose_size_is_said_to_be_0_is_limited_too() -> None:
    with pytest.raises(OSError, match="larger than 5 bytes"):
        read_bytes_limited(Path("/proc/self/status"), 5)


def test_text_loses_its_byte_order_mark_and_has_one_kind_of_line_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert read_text_limited(file, 100) == "a\nb\nc\n"


def test_text_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("ü".encode("cp1252"))
    with pytest.raises(UnicodeDecodeError):
        read_text_limited(file, 100)
