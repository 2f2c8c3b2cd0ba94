"""The engine: one token trie a prompt, every exit layer and many questions at once (DESIGN section 3).

An ``EngineDecoder`` makes a policy of each question (``early_exit``, ``speculative``, ``dynamic``), and a ``forest``
moves the questions on together, over the trees in ``trie``.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Protocol

from hcl_core.decode.batch import decode_many
from hcl_core.decode.early_exit import early_exit
from hcl_core.decode.forest import Forest
from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import free_memory
from hcl_core.decode.trie.prompt_cache import PrefixCache, Prompt, PromptCache
from hcl_core.decode.trie.requests import Policy, Prefill
from hcl_core.decode.trie.running import LayerSample
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.models.cost import ModelCost
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.text import one_line

_MAX_CPU_BUDGET = 4 * 2**30
# Fewer tokens than this are not worth a pass of their own through the model.
_LEAST_PREFIX = 8


class PromptReader(Protocol):
    """Reads prompts: a model, or its tokenizer."""

    def tokenize(self, prompt: str, *, is_chat: bool = False, question: str = "") -> list[int]:
        """See ``PromptTokens.tokenize``."""
        ...


def tokenize_prompt(stored: StoredQuestion, reader: PromptReader, template: PromptTemplate) -> list[int]:
    """Token ids of a question's prompt; a control token that somebody typed in the question is text."""
    return reader.tokenize(stored.prompt, is_chat=template.is_chat, question=one_line(stored.question.text))


def tokenize_checked(
    stored: StoredQuestion, max_new_tokens: int, reader: PromptReader, template: PromptTemplate, max_positions: int
) -> list[int]:
    """``tokenize_prompt``, checked.

    Raises:
        ContextTooLongError: Prompt and answer exceed ``max_positions`` tokens.
        SettingsError: The prompt has no tokens: some tokenizers leave letters out.
    """
    prompt_token_ids = tokenize_prompt(stored, reader, template)
    if not prompt_token_ids:
        raise SettingsError(
            f"question {stored.question.id!r}: this model's tokenizer makes no tokens of its prompt: write it otherwise"
        )
    if len(prompt_token_ids) + max_new_tokens > max_positions:
        raise ContextTooLongError(
            f"question {stored.question.label!r}: a prompt of {len(prompt_token_ids)} tokens and an answer of up to "
            f"{max_new_tokens} exceed this model's window of {max_positions}; "
            "shorten the question or lower the number of new tokens"
        )
    return prompt_token_ids


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What a decoder works with, whatever its strategy.

    Attributes:
        lm: The model.
        exit_head: How early layers are read.
        template: How a question becomes a prompt.
        memory_budget: Bytes for the keys, values and hidden states that follow the prompts; a wave that could need
            more is split. ``None``: half of the memory that is free when decoding begins, at most 4 GiB on a CPU.
    """

    lm: LanguageModel
    exit_head: ExitHead
    template: PromptTemplate
    memory_budget: int | None = None

    def __post_init__(self) -> None:
        if self.memory_budget is not None and self.memory_budget < 1:
            raise SettingsError(f"a memory budget must be at least 1 byte; got {self.memory_budget}")

    def budget_now(self) -> int:
        """``memory_budget``, or what it is by default at this moment.

        Where the layers are spread over devices, the one that its share of the layers fills first decides.
        """
        if self.memory_budget is not None:
            return self.memory_budget
        devices = self.lm.layer_devices
        shares = Counter(devices)
        free = min(free_memory(device) * len(devices) // share for device, share in shares.items()) // 2
        return free if self.lm.readout_device.type == "cuda" else min(free, _MAX_CPU_BUDGET)

    def tokenize(self, stored: StoredQuestion) -> list[int]:
        """Token ids of a question's prompt; a control token that somebody typed in the question is text."""
        return tokenize_prompt(stored, self.lm, self.template)

    def check_layers(self, exit_layers: Iterable[int]) -> None:
        """Raise ``SettingsError`` for an exit layer that the model lacks."""
        for exit_layer in exit_layers:
            if not 1 <= exit_layer <= self.lm.num_hidden_layers:
                raise SettingsError(f"exit layer {exit_layer} is not from 1 to {self.lm.num_hidden_layers}")


class EngineDecoder(ABC):
    """A ``ports.Decoder`` but for the strategy, which a subclass adds.

    Attributes:
        parts: Model, exit head, template and memory budget.
        prefixes: What its forests keep of the template's prompts.
    """

    def __init__(self, parts: EngineParts) -> None:
        self.parts, self.prefixes = parts, PrefixCache(parts.lm)

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        return self.parts.lm.num_hidden_layers

    @property
    def exit_head(self) -> ExitHead:
        """How early layers are read."""
        return self.parts.exit_head

    def prompt_for(self, question: Question) -> str:
        """The exact text to send for ``question``; see ``ports.Decoder``."""
        return self.parts.template.render(question.text, self.parts.lm.wrap_chat)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        return self.parts.lm.token_text(token_id)

    def cost(self) -> ModelCost:
        """What a token costs at each exit layer."""
        lm, has_map = self.parts.lm, self.exit_head.name == "linear"
        return ModelCost(
            num_hidden_layers=lm.num_hidden_layers,
            block=lm.block_flops,
            readout=2 * lm.hidden_size * lm.vocab_size,
            exit_head=2 * lm.hidden_size**2 if has_map else 0,
        )

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt; see ``ports.Decoder``."""
        lm = self.parts.lm
        return tokenize_checked(stored, settings.max_new_tokens, lm, self.parts.template, lm.max_positions)

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[LayerSample]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        for _, progress in self.decode_many([DecodeRequest(stored, settings, waves)]):
            yield progress

    def decode_many(
        self, requests: Iterable[DecodeRequest], at_once: int | None = None
    ) -> Iterator[tuple[DecodeRequest, DecodeProgress]]:
        """Answer several questions beside each other; see ``ports.Decoder``."""
        return decode_many(self.new_forest(), self, requests, at_once)

    def new_forest(self, most_samples: int | None = None) -> Forest:
        """A forest of the decoder's model; see ``Forest``."""
        return Forest(self.parts.lm, self.parts.budget_now, most_samples, self.prefixes)

    def policy(self, request: DecodeRequest) -> Policy:
        """How the request is answered, as a forest follows it.

        Raises:
            ContextTooLongError: Prompt and longest answer exceed what the model can attend over.
        """
        token_ids = self.tokenize_checked(request.stored, request.settings)
        rule = self.parts.template.answer_rule(request.stored.prompt)
        return self._policy(request, Prefill(Prompt(token_ids, rule, self._num_prefix_tokens(token_ids))))

    def _num_prefix_tokens(self, token_ids: list[int]) -> int:
        """How many of a prompt's tokens are those that every prompt of the template begins with."""
        shared = self._prefix_token_ids
        is_shared = _LEAST_PREFIX <= len(shared) < len(token_ids) and token_ids[: len(shared)] == shared
        return len(shared) if is_shared else 0

    @cached_property
    def _prefix_token_ids(self) -> list[int]:
        """What the prompts of two questions both begin with that have no character in common: a word, and a digit."""
        questions = (Question(text, text, ()) for text in ("What", "1"))
        prompts = [self.parts.tokenize(StoredQuestion(each, self.prompt_for(each))) for each in questions]
        return [first for first, _ in takewhile(lambda pair: pair[0] == pair[1], zip(*prompts, strict=False))]

    def _policy(self, request: DecodeRequest, prefill: Prefill) -> Policy:
        prompt = yield prefill
        waves = map(self._checked, request.waves)
        yield from self._decode_waves(prompt, request.stored.question.id, request.settings, waves)

    @abstractmethod
    def _decode_waves(
        self,
        prompt: PromptCache,
        question_id: str,
        settings: SamplingSettings,
        waves: Iterable[list[LayerSample]],
    ) -> Policy:
        """Decode the waves of one prompt; their layers are checked as they are taken."""

    def _checked(self, wave: Sequence[LayerSample]) -> list[LayerSample]:
        self.parts.check_layers(exit_layer for exit_layer, _ in wave)
        return list(wave)


class TrieDecoder(EngineDecoder):
    """True early exit: every token of an answer comes from the sample's exit layer."""

    def _decode_waves(
        self,
        prompt: PromptCache,
        question_id: str,
        settings: SamplingSettings,
        waves: Iterable[list[LayerSample]],
    ) -> Policy:
        return early_exit(prompt, self.exit_head, settings, question_id, waves)
