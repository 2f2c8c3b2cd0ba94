"""Replicas: one model loaded on several devices, which answer the questions of a run between them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from hcl_core.ahead import ahead
from hcl_core.decode.batch import DEFAULT_AT_ONCE, Batch, Requests
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Step
from hcl_core.errors import ExitHeadError
from hcl_core.forwarding import ForwardingDecoder
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import SamplingSettings, StoredQuestion


def check_one_head(fingerprints: Iterable[str]) -> None:
    """Raise ``ExitHeadError`` unless these are of one head: what a head's trial measures is rounded by each device."""
    if len(set(fingerprints)) > 1:
        raise ExitHeadError("the devices do not agree on an exit head: name one, such as the model's own (shared)")


class ReplicatedDecoder(ForwardingDecoder):
    """A ``ports.Decoder`` whose questions go to whichever replica has a place; each has a forest and a thread.

    Args:
        decoders: Of the replicas, alike but for their devices. The first one is asked for everything else.

    Raises:
        ExitHeadError: They read early layers with different heads.
    """

    def __init__(self, decoders: Sequence[EngineDecoder]) -> None:
        super().__init__(decoders[0])
        self._decoders = tuple(decoders)
        check_one_head(each.exit_head.fingerprint for each in decoders)

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers to one question, by one replica; see ``ports.Decoder``."""
        return self._decoders[0].decode(stored, settings, waves)

    def decode_many(self, requests: Iterable[DecodeRequest], at_once: int | None = None) -> Iterator[Step]:
        """Answer several questions beside each other; see ``ports.Decoder``.

        Args:
            requests: Taken one at a time, in the threads of the replicas, as places get free.
            at_once: The most questions under way on each replica.
        """
        asked, most = Requests(requests), at_once or DEFAULT_AT_ONCE
        replicas = [(Batch(each, asked), each.new_forest()) for each in self._decoders]
        try:
            # By turns before the first step: else the first replica would take as many as it has places for.
            while any([len(batch) < most and batch.open_next(forest) for batch, forest in replicas]):
                pass
            with closing(ahead(*(batch.steps(forest, most) for batch, forest in replicas))) as steps:
                yield from steps
        finally:
            for batch, forest in replicas:
                batch.close(forest)
        if asked.error is not None:
            raise asked.error
