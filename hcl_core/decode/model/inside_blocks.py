"""What attention and MLP of a block add to the residual stream, found by watching the modules of ``transformers`` run.

No family is known here. A block calls modules of its own, and each reads what others returned. What no later one reads
is what the block adds up: the chain of calls that goes through its attention ends in what attention adds, past the norm
that some families have there, and the others end in what the MLP or its experts add. Each block is checked as it is
read: the state before it and both parts must add up to the state after it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hcl_core.errors import UnsupportedArchitectureError


@dataclass(frozen=True, slots=True)
class Inside:
    """What one block does to the residual stream, ``[n, hidden_size]`` each; the names are those of ``SITES``.

    Attributes:
        attn_out: What attention adds.
        mlp_out: What the MLP adds.
        resid_mid: The state between them; ``None`` where both read the same state.
    """

    attn_out: Tensor
    mlp_out: Tensor
    resid_mid: Tensor | None


# Bound on the rounding of two additions there and two here, in units of the distance from 1 to the next number.
_ROUNDINGS = 3

# Told of a layer, from 0, and what its block does.
Watch = Callable[[int, Inside], None]


@contextmanager
def watched(blocks: Iterable[nn.Module], watch: Watch) -> Iterator[None]:
    """Meanwhile, ``watch`` is told of each of ``blocks`` when it has run.

    Raises:
        UnsupportedArchitectureError: While a block runs whose parts cannot be found.
    """
    with ExitStack() as stack:
        for layer, block in enumerate(blocks):
            for hook in _WatchedBlock(layer, block, watch).hooks():
                stack.callback(hook.remove)
        yield


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a module in a block.

    Attributes:
        is_attention: Whether the module is the block's attention.
        read: The tensors that it was given.
        states: Copies of those that are like the residual stream.
        returned: The first tensor that it returned.
        output: A copy of it: Falcon adds to it in place.
    """

    is_attention: bool
    read: Sequence[Tensor]
    states: Sequence[Tensor]
    returned: Tensor
    output: Tensor

    def reads_of(self, other: "_Call") -> bool:
        """Whether it was given what ``other`` returned."""
        return any(_is_same(other.returned, tensor) for tensor in self.read)


class _WatchedBlock:
    """The calls of one block while it runs. Their tensors are kept, so that no two are at the same place in memory."""

    def __init__(self, layer: int, block: nn.Module, watch: Watch) -> None:
        self._layer, self._block, self._watch = layer, block, watch
        self._before = torch.empty(0)
        self._calls: list[_Call] = []
        self._inner: Tensor | None = None  # returned by the last module within the one that runs

    def hooks(self) -> Iterator[Any]:
        """Registers hooks; each ends with its ``remove``."""
        yield self._block.register_forward_pre_hook(self._begin, with_kwargs=True)
        for name, module in self._block.named_children():
            for inner in module.children():
                yield inner.register_forward_hook(self._keep_inner)
            yield module.register_forward_hook(self._keep(_is_attention(name)), with_kwargs=True)
        yield self._block.register_forward_hook(self._end)

    def _begin(self, _: nn.Module, arguments: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._before = next(_tensors((*arguments, *named.values()))).clone()
        self._calls, self._inner = [], None

    def _keep_inner(self, _: nn.Module, __: Any, output: Any) -> None:
        self._inner = next(_tensors(output), None)

    def _keep(self, is_attention: bool) -> Callable[..., None]:
        def hook(_: nn.Module, arguments: Sequence[Any], named: Mapping[str, Any], output: Any) -> None:
            read = list(_tensors((*arguments, *named.values())))
            states = [tensor for tensor in read if self._is_state(tensor)]
            # Bloom and MPT hand the residual stream to a module too, which adds it to what its own last one returned.
            adds_itself = any(not _is_same(states[0], other) for other in states[1:])
            returned = self._inner if adds_itself else next(_tensors(output), None)
            if returned is not None:
                copies = [tensor.clone() for tensor in states]
                self._calls.append(_Call(is_attention, read, copies, returned, returned.clone()))
            self._inner = None

        return hook

    def _is_state(self, tensor: Tensor) -> bool:
        """Whether it has a row for each of the states; OPT flattens them, and masks have more dimensions."""
        before = self._before
        is_like = tensor.numel() == before.numel() and tensor.shape[-1:] == before.shape[-1:]
        return is_like and tensor.dim() <= before.dim() and tensor.dtype == before.dtype

    def _end(self, _: nn.Module, __: Any, output: Any) -> None:
        inside = self._inside(next(_tensors(output)))
        self._calls, self._before, self._inner = [], torch.empty(0), None
        self._watch(self._layer, inside)

    def _inside(self, after: Tensor) -> Inside:
        """What the block added to the state before it, which became ``after``."""
        before, parts, mlp_reads = self._before.flatten(0, -2), dict[bool, Tensor](), list[Tensor]()
        for place, call in enumerate(self._calls):
            if self._is_state(call.output) and not any(later.reads_of(call) for later in self._calls[place + 1 :]):
                chain = list(self._chain(place))
                of_attention = any(each.is_attention for each in chain)
                output = call.output.view_as(before)
                parts[of_attention] = parts[of_attention] + output if of_attention in parts else output
                if not of_attention:
                    mlp_reads += [state.view_as(before) for state in chain[-1].states]
        if len(parts) < 2 or not mlp_reads:
            raise UnsupportedArchitectureError(
                f"layer {self._layer + 1} cannot be read inside its block: "
                "its attention and its MLP cannot be told apart; choose resid_post"
            )
        # Granite scales what it adds.
        scale = getattr(self._block, "residual_multiplier", 1.0)
        attention, mlp = (parts[key] * scale if scale != 1 else parts[key] for key in (True, False))
        if not _is_sum(after.view_as(before), before, attention, mlp):
            raise UnsupportedArchitectureError(
                f"layer {self._layer + 1} cannot be read inside its block: "
                "what its attention and its MLP return is not what it adds; choose resid_post"
            )
        if all(_is_sum(state, before, attention) for state in mlp_reads):
            return Inside(attention, mlp, mlp_reads[0])
        if all(_is_sum(state, before) for state in mlp_reads):
            return Inside(attention, mlp, None)
        raise UnsupportedArchitectureError(
            f"layer {self._layer + 1} cannot be read inside its block: "
            f"its MLP reads a state that is neither before nor after its attention; choose resid_post"
        )

    def _chain(self, place: int) -> Iterator[_Call]:
        """The call at ``place``, the one that returned what it reads, and so on to the first."""
        call = self._calls[place]
        yield call
        for earlier in reversed(range(place)):
            if call.reads_of(self._calls[earlier]):
                yield from self._chain(earlier)
                return


def _is_attention(name: str) -> bool:
    """By the name of a module of a block: self_attn, attention, attn, ..., but not ln_attn or post_attention_norm."""
    return "att" in name and "norm" not in name and not name.startswith("ln")


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors of arguments, or of what a module returned."""
    for value in values if isinstance(values, tuple) else (values,):
        if isinstance(value, Tensor):
            yield value


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one, or the same seen in another shape."""
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def _is_sum(total: Tensor, *terms: Tensor) -> bool:
    """Whether ``total`` is the sum of ``terms`` but for rounding. Values that are not finite are no mistake."""
    error = (total.float() - sum(term.float() for term in terms)).abs()
    size = sum(term.float().abs() for term in terms)
    return not bool((error > _ROUNDINGS * torch.finfo(total.dtype).eps * size).any())
