"""The engine: one token trie a prompt, every exit layer at once (DESIGN section 3).

``TrieDecoder.decode`` is the whole story: prefill, then for each wave one ``step`` after another until no
sample runs. ``session`` holds what a step does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import torch

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.memory import explain_out_of_memory, free_memory
from hcl_core.decode.trie.session import PromptSession
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.models.cost import ModelCost
from hcl_core.ports import DecodeProgress
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate

_MOST_CPU_BUDGET = 4 * 2**30


class TrieDecoder:
    """Samples answers from every wanted exit layer of one model.

    Args:
        lm: The model.
        exit_head: How early layers are read.
        template: How a question becomes a prompt.
        memory_budget: Bytes for the keys, values and hidden states of one prompt's trie; a wave that could
            need more is split. ``None``: half of the memory that is free now, at most 4 GiB on a CPU.
    """

    def __init__(
        self, lm: CausalLM, exit_head: ExitHead, template: PromptTemplate, memory_budget: int | None = None
    ) -> None:
        self.lm, self.exit_head, self.template = lm, exit_head, template
        self.num_hidden_layers = lm.num_hidden_layers
        self._memory_budget = memory_budget

    def prompt_for(self, question: Question) -> str:
        """The exact text sent for ``question``."""
        return self.template.render(question.text, self.lm.wrap_chat)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        return self.lm.token_text(token_id)

    def cost(self) -> ModelCost:
        """What a token costs at each exit."""
        width, has_map = self.lm.hidden_size, self.exit_head.name == "linear"
        return ModelCost(
            num_hidden_layers=self.num_hidden_layers,
            block=self.lm.block_flops,
            readout=2 * width * self.lm.vocab_size,
            exit_head=2 * width * width if has_map else 0,
        )

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt; see ``ports.Decoder``."""
        prompt_token_ids = self.lm.tokenize(stored.prompt, is_chat=self.template.is_chat)
        if len(prompt_token_ids) + settings.max_new_tokens > self.lm.max_positions:
            raise ContextTooLongError(
                f"question {stored.question.id!r}: a prompt of {len(prompt_token_ids)} tokens and an answer of up to "
                f"{settings.max_new_tokens} exceed this model's window of {self.lm.max_positions}; "
                "shorten the question or lower the number of new tokens"
            )
        return prompt_token_ids

    def memory_budget(self) -> int:
        """Bytes that the trie of one prompt may take now."""
        return self._memory_budget or _default_memory_budget(self.lm)

    def check_layers(self, exit_layers: Iterable[int]) -> None:
        """Raise ``SettingsError`` for an exit layer that the model lacks."""
        for exit_layer in exit_layers:
            if not 1 <= exit_layer <= self.num_hidden_layers:
                raise SettingsError(f"exit layer {exit_layer} is not from 1 to {self.num_hidden_layers}")

    @torch.inference_mode()
    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``.

        Raises:
            ContextTooLongError: The prompt is too long; before anything is computed.
            SettingsError: A wave asks for a layer that the model lacks.
            NotEnoughMemoryError: Memory ran out all the same.
        """
        prompt_token_ids = self.tokenize_checked(stored, settings)
        with explain_out_of_memory("decoding"):
            memory_budget = self.memory_budget()
            session = PromptSession(self.lm, self.exit_head, settings, stored.question.id, prompt_token_ids)
            for wave in waves:
                waiting = list(wave)
                self.check_layers(exit_layer for exit_layer, _ in waiting)
                while waiting:
                    part, waiting = session.plan(waiting, memory_budget)
                    yield from session.run(part, num_waiting=len(waiting))


def _default_memory_budget(lm: CausalLM) -> int:
    """Half of what is free; where the layers are spread, by the device that its share fills first."""
    shares = Counter(lm.layer_devices)
    free = min(free_memory(device) * len(lm.layer_devices) // share for device, share in shares.items()) // 2
    return free if lm.readout_device.type == "cuda" else min(free, _MOST_CPU_BUDGET)
