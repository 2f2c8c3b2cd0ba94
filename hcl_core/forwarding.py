"""What decoders have in common that compute through another one: prompts, tokens and costs are that one's."""

from collections.abc import Iterable, Iterator, Sequence

from hcl_core.models.cost import ModelCost
from hcl_core.ports import DecodeProgress, Decoder, DecodeRequest, NamedExitHead
from hcl_core.records import Question, SamplingSettings, StoredQuestion


class ForwardingDecoder:
    """A ``ports.Decoder`` but for ``decode_many``, which whoever derives from it brings.

    Args:
        decoder: For everything else.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        return self._decoder.num_hidden_layers

    @property
    def exit_head(self) -> NamedExitHead:
        """How early layers are read."""
        return self._decoder.exit_head

    def prompt_for(self, question: Question) -> str:
        """The exact text to send for ``question``; see ``ports.Decoder``."""
        return self._decoder.prompt_for(question)

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt; see ``ports.Decoder``."""
        return self._decoder.tokenize_checked(stored, settings)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it; see ``ports.Decoder``."""
        return self._decoder.token_text(token_id)

    def cost(self) -> ModelCost:
        """What a token costs at each exit layer."""
        return self._decoder.cost()

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        for _, progress in self.decode_many([DecodeRequest(stored, settings, waves)]):
            yield progress

    def decode_many(
        self, requests: Iterable[DecodeRequest], at_once: int | None = None
    ) -> Iterator[tuple[DecodeRequest, DecodeProgress]]:
        """Answer several questions; see ``ports.Decoder``."""
        raise NotImplementedError
