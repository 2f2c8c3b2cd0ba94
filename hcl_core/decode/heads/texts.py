"""The text that an exit head is fitted on: a file, or text that the model writes."""

import hashlib
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hcl_core.decode.heads.hidden_states import TextBatch, write_texts
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.errors import SettingsError, cause_of
from hcl_core.models.head_records import FitSettings
from hcl_core.records import SamplingSettings
from hcl_core.settings.prompts import PLACEHOLDER, load_template
from hcl_core.user_files import MAX_TEXT_BYTES, read_bytes_limited

# Two of ten texts are held out: one to choose the ridge strength by, one to report on.
NUM_FOLDS, CHOOSING_FOLD, REPORTING_FOLD = 10, 8, 9


class TextStates(NamedTuple):
    """Positions of a few texts of one length.

    Attributes:
        states: ``[num_hidden_layers, b, t, hidden_size]`` before the final norm.
        weights: ``[b, t]`` weight in the fit; 0 leaves a position out.
    """

    states: Tensor
    weights: Tensor


class TextSource(Protocol):
    """Text in batches; a batch is the same at every call.

    Attributes:
        name: For the head's config.
        texts_hash: For the head's config.
        sizes: Number of texts in each batch.
        text_length: Positions of one text.
    """

    name: str
    texts_hash: str
    sizes: tuple[int, ...]
    text_length: int

    def batch(self, number: int) -> TextStates:
        """Batch ``number``, from 0."""
        ...


class SelfWritten:
    """Continuations of the few-shot prompt by the model: questions, answers, and what it writes after them."""

    name, texts_hash = "self-generated", ""
    _BATCH_SIZE = 128

    def __init__(self, lm: LanguageModel, settings: FitSettings) -> None:
        self._lm, self._settings = lm, settings
        header = load_template("few_shot").text.split(PLACEHOLDER)[0].rstrip(" ")
        self._prompt = lm.tokenize(header)
        self.text_length = min(48, lm.max_positions - len(self._prompt))
        if self.text_length < 8:
            raise SettingsError(f"{lm.name} attends over {lm.max_positions} tokens only: too few to write text")
        self.sizes = _batch_sizes(settings.num_tokens, self.text_length, self._BATCH_SIZE)

    def batch(self, number: int) -> TextStates:
        """Batch ``number``; its noise depends on seed and number only."""
        sampling = SamplingSettings(1.0, 0.95, seed=self._settings.seed * 1_000_003 + number)
        tokens, states = write_texts(self._lm, self._prompt, self.sizes[number], self.text_length, sampling)
        in_answer = torch.tensor([self._in_answer(text) for text in tokens.tolist()])
        return TextStates(states, torch.where(in_answer, self._settings.answer_weight, 1.0))

    def _in_answer(self, token_ids: list[int]) -> list[bool]:
        """For each token, whether it was drawn within a line that begins with ``Answer:``."""
        line, in_answer = "", []
        for token_id in token_ids:
            in_answer.append(line.lstrip().startswith("Answer:"))
            line = (line + self._lm.detokenize([token_id])).rpartition("\n")[2]
        return in_answer


class TextFile:
    """A text file, cut into windows of one length."""

    _BATCH_SIZE = 16

    def __init__(self, lm: LanguageModel, settings: FitSettings) -> None:
        assert settings.texts is not None
        self._lm = lm
        try:
            content = read_bytes_limited(settings.texts, MAX_TEXT_BYTES)
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read the text file {settings.texts}: {cause_of(error)}") from None
        self.name = settings.texts.name
        self.texts_hash = hashlib.blake2b(content, digest_size=8).hexdigest()
        self.text_length = min(256, lm.max_positions)
        # A token has about six letters: tokenise enough for twice the tokens needed, not the whole file.
        token_ids = lm.tokenize(text[: 12 * settings.num_tokens])[: settings.num_tokens]
        self._windows = torch.tensor(token_ids[: len(token_ids) // self.text_length * self.text_length]).view(
            -1, self.text_length
        )
        if len(self._windows) < NUM_FOLDS:
            raise SettingsError(
                f"{self.name} has {len(token_ids)} tokens; at least {NUM_FOLDS * self.text_length} are needed, "
                "or use --self-generated"
            )
        self.sizes = _batch_sizes(self._windows.numel(), self.text_length, self._BATCH_SIZE)

    def batch(self, number: int) -> TextStates:
        """Batch ``number``: windows that are read independently of each other."""
        start = sum(self.sizes[:number])
        windows = self._windows[start : start + self.sizes[number]]
        states = TextBatch(self._lm, len(windows), self.text_length).read(windows).cpu()
        weights = torch.ones(windows.shape)
        weights[:, 0] = 0  # a first position has nothing before it, and its states are unlike all others
        return TextStates(states, weights)


def _batch_sizes(num_tokens: int, text_length: int, batch_size: int) -> tuple[int, ...]:
    num_texts = max(NUM_FOLDS, -(-num_tokens // text_length))
    return tuple(min(batch_size, num_texts - start) for start in range(0, num_texts, batch_size))
