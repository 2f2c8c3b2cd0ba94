"""The forest: questions of all visitors and sets, each a lane with a tree of its own, moved on by one step together.

A lane follows a policy: the strategy as a generator of requests (``trie.requests``). A step serves the requests of all
lanes at once, so that the blocks' and the readouts' weights are read once for all of their rows. Lanes join and leave
between steps. A row's result does not depend on the other rows (``model.linear``), so an answer does not depend on who
else is there.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.engines import grow, run_prompts
from hcl_core.decode.trie.prompt_cache import Beginnings
from hcl_core.decode.trie.readouts import read_out
from hcl_core.decode.trie.requests import Admit, Compute, Policy, Prefill, Read, Request
from hcl_core.decode.trie.slot_pool import new_pool
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import HclError
from hcl_core.ports import DecodeProgress, DecodeRequest

if TYPE_CHECKING:
    from hcl_core.decode.engine import EngineDecoder

# While some lane has its first wave to come, the others are passed over for so many steps, then served once: a first
# wave of short answers has come by then, even where lanes joined one after another.
_MOST_PASSED_OVER = 12

Event = tuple["Lane", DecodeProgress | HclError]
Step = tuple[DecodeRequest, DecodeProgress]


class Lane:
    """A question under way.

    Attributes:
        policy: Its strategy.
        pending: What it waits for; ``None`` before its first step, and between two waves.
        tree: What its samples add to; ``None`` before they are admitted.
        bytes_at_most: What its tree can grow to with the samples that run; 0 while none does.
        num_samples: Samples that run.
        is_new: Whether its first wave is still to come.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.is_new = True
        self.pending: Request | None = None
        self.tree: PromptTree | None = None
        self.bytes_at_most = self.num_samples = 0

    @property
    def num_bytes(self) -> int:
        """Bytes that it has, or may come to have."""
        return max(self.bytes_at_most, self.tree.num_bytes if self.tree else 0)


class Forest:
    """The questions that one model decodes together. One thread at a time may use it.

    Args:
        lm: The model.
        budget_now: Bytes for what grows with the samples; asked for when the first lane of some is opened.
        most_samples: Samples that run at once, ``None`` for as many as fit the memory. Fewer make a step shorter, so
            that a newcomer's first wave comes sooner.
    """

    def __init__(self, lm: LanguageModel, budget_now: Callable[[], int], most_samples: int | None = None) -> None:
        self._lm, self._budget_now, self._most_samples = lm, budget_now, most_samples
        self._budget = self._num_passed_over = 0
        self._lanes: list[Lane] = []
        # Lanes whose next samples have not begun, the one whose turn is next in front: a lane that has had its turn
        # goes to the end, so a small wave never waits for more than one wave of each other lane.
        self._queue: deque[Lane] = deque()
        # One buffer for all steps: newly mapped memory at every step would cost more than filling it.
        self._logits = lm.logits_buffer(lm.readout_rows())
        self._beginnings = Beginnings(lm)
        self._pool = new_pool(lm)  # of all trees, so that one call of attention serves them all

    @property
    def is_idle(self) -> bool:
        """Whether no lane is open."""
        return not self._lanes

    def has(self, lane: Lane) -> bool:
        """Whether the lane is open."""
        return lane in self._lanes

    def open(self, decoder: "EngineDecoder", request: DecodeRequest) -> Lane:
        """A lane for ``request``; nothing is computed before the next step.

        Raises:
            ContextTooLongError: Prompt and answer are longer than the model can attend over.
        """
        return self.open_policy(decoder.policy(request))

    def open_policy(self, policy: Policy) -> Lane:
        """A lane that follows ``policy``."""
        if self.is_idle:
            self._budget = self._budget_now()
        lane = Lane(policy)
        self._lanes.append(lane)
        return lane

    def close(self, lane: Lane) -> None:
        """End a lane, finished or not; its memory is free."""
        if lane in self._lanes:
            self._lanes.remove(lane)
        if lane in self._queue:
            self._queue.remove(lane)
        lane.policy.close()
        lane.pending = lane.tree = None

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Serve the lanes' requests once; what came of it. A lane that ends or fails leaves by itself."""
        events: list[Event] = []
        for lane in [lane for lane in self._lanes if lane.pending is None]:
            events += self._resume(lane, None)
        while self._queue and (count := self._num_admitted(self._queue[0])):
            events += self._resume(self._queue.popleft(), count)
        serving = self._serving()
        try:
            with explain_out_of_memory("decoding"):
                replies = self._serve([lane.pending for lane in serving])
        except HclError as error:
            for lane in serving:
                self.close(lane)
            return [*events, *((lane, error) for lane in serving)]
        for lane, reply in zip(serving, replies, strict=True):
            events += self._resume(lane, reply)
        return events

    def _serving(self) -> list[Lane]:
        """The lanes whose requests are served by this step: at most steps, only the new ones if there are some."""
        lanes = [lane for lane in self._lanes if lane.pending is not None and not isinstance(lane.pending, Admit)]
        new = [lane for lane in lanes if lane.is_new]
        passes_over = 0 < len(new) < len(lanes) and self._num_passed_over < _MOST_PASSED_OVER
        self._num_passed_over = self._num_passed_over + 1 if passes_over else 0
        return new if passes_over else lanes

    def _serve(self, requests: "list[Request | None]") -> list[Any]:
        """The replies to all requests but those for admission."""
        replies: list[Any] = [None] * len(requests)
        prefills = {index: each for index, each in enumerate(requests) if isinstance(each, Prefill)}
        if prefills:
            prompts = run_prompts(self._lm, [each.prompt for each in prefills.values()], self._pool, self._beginnings)
            for index, prompt in zip(prefills, prompts, strict=True):
                replies[index] = prompt
        grow(self._lm, [(each.tree, each.nodes, each.exit_layers) for each in requests if isinstance(each, Compute)])
        reads = {index: each for index, each in enumerate(requests) if isinstance(each, Read)}
        for index, reply in zip(reads, read_out(self._lm, list(reads.values()), self._logits), strict=True):
            replies[index] = reply
        return replies

    def _resume(self, lane: Lane, reply: Any) -> list[Event]:
        """Give a lane its reply, and go on to its next request."""
        events: list[Event] = []
        try:
            asked = lane.policy.throw(reply) if isinstance(reply, HclError) else lane.policy.send(reply)
            while isinstance(asked, DecodeProgress):
                events.append((lane, asked))
                lane.num_samples -= len(asked.finished)
                if asked.wave_done:  # the next wave is taken when it is its turn
                    lane.pending, lane.is_new = None, False
                    return events
                asked = next(lane.policy)
        except StopIteration:
            self.close(lane)
            return events
        except HclError as error:
            self.close(lane)
            return [*events, (lane, error)]
        lane.pending = asked
        if isinstance(asked, Admit):
            lane.tree, lane.bytes_at_most, lane.num_samples = asked.tree, 0, 0
            self._queue.append(lane)
        return events

    def _num_admitted(self, lane: Lane) -> int:
        """How many of the lane's next samples begin now: all that fit; 0 if it is better to wait until others end.

        Where nothing runs, at least one begins, for which trees of other waves are dropped if need be.
        """
        asked = lane.pending
        assert isinstance(asked, Admit)
        running = [other for other in self._lanes if other.num_samples]
        num_running = sum(other.num_samples for other in running)
        if not running and self._bytes_left() < asked.sample_bytes[0]:
            asked.tree.clear()
            for waiting in self._queue:
                if waiting.tree is not None and self._bytes_left() < asked.sample_bytes[0]:
                    waiting.tree.clear()
        count = int(np.searchsorted(np.cumsum(asked.sample_bytes), self._bytes_left(), side="right"))
        if self._most_samples is not None:
            count = min(count, self._most_samples - num_running)
        if not running:
            count = max(1, count)
        elif 4 * count < len(asked.sample_bytes):  # too small a part is not worth its steps
            return 0
        lane.num_samples = count
        lane.bytes_at_most = asked.tree.num_bytes + int(asked.sample_bytes[:count].sum())
        return count

    def _bytes_left(self) -> int:
        return self._budget - sum(lane.num_bytes for lane in self._lanes)


def follow(lm: LanguageModel, policy: Policy) -> Iterator[DecodeProgress]:
    """Follow one policy alone to its end, without a bound on its memory; raises what it raises."""
    forest = Forest(lm, lambda: 2**62)
    forest.open_policy(policy)
    while not forest.is_idle:
        for _, progress in forest.step():
            if isinstance(progress, HclError):
                raise progress
            yield progress
