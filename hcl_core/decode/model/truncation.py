"""``transformers``' own model, cut to its first blocks, or read out from given hidden states.

Only what every decoder-only model of ``transformers`` has is used: a list of blocks, as many as its config says.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hcl_core.errors import UnsupportedArchitectureError


class BlockStack:
    """The list of blocks of a causal LM, which can be another one for a while.

    Attributes:
        decoder: The module that runs the blocks, final norm included.
        blocks: All of them.

    Args:
        model: A ``transformers`` causal LM.

    Raises:
        UnsupportedArchitectureError: It has no such list.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._returns_tuple = False  # seen when the blocks first run
        self.decoder: Any = model.get_decoder()
        count = self.decoder.config.num_hidden_layers
        lists = {
            name: module
            for name, module in self.decoder.named_children()
            if isinstance(module, nn.ModuleList) and len(module) == count
        }
        if len(lists) != 1:
            raise UnsupportedArchitectureError(
                f"model family {model.config.model_type!r} cannot be cut after a layer: it has no single list of blocks"
            )
        ((self._name, self.blocks),) = lists.items()

    @contextmanager
    def replaced_by(self, blocks: nn.ModuleList) -> Iterator[None]:
        """The model has ``blocks`` alone, meanwhile."""
        config, count = self.decoder.config, len(self.blocks)
        try:
            setattr(self.decoder, self._name, blocks)
            config.num_hidden_layers = len(blocks)
            yield
        finally:
            setattr(self.decoder, self._name, self.blocks)
            config.num_hidden_layers = count

    def cut_to(self, exit_layer: int) -> Any:
        """A context in which the model has its first ``exit_layer`` blocks only."""
        return self.replaced_by(self.blocks[:exit_layer])

    def run(self, token_ids: Tensor, count: int, cache: Any = None) -> tuple[list[Tensor], Any]:
        """Run the first ``count`` blocks over ``token_ids [b, t]``, which follow those in ``cache``.

        Returns:
            What each block returns, ``[b, t, hidden_size]``, and the cache with the new tokens in it.
        """
        outputs: list[Any] = []
        with ExitStack() as stack:
            stack.enter_context(self.cut_to(count))
            for block in self.blocks[:count]:
                hook = block.register_forward_hook(lambda _, __, output: outputs.append(output))
                stack.callback(hook.remove)
            cache = self.decoder(input_ids=token_ids, past_key_values=cache, use_cache=True).past_key_values
        self._returns_tuple = isinstance(outputs[0], tuple)
        return [output[0] if isinstance(output, tuple) else output for output in outputs], cache

    def read(self, hidden: Tensor) -> Tensor:
        """Logits of ``hidden [n, hidden_size]``: what the model makes of the state after its last block."""
        state = hidden[:, None]
        block = _Returning((state,) if self._returns_tuple else state, self.blocks[0])
        token_ids = torch.zeros(len(hidden), 1, dtype=torch.int64, device=hidden.device)
        with self.replaced_by(nn.ModuleList([block])):
            logits: Tensor = self._model(input_ids=token_ids, use_cache=False).logits
        return logits[:, 0]


class _Returning(nn.Module):
    """In the place of a block: returns the same always, whatever it is given."""

    def __init__(self, output: Any, block: nn.Module) -> None:
        super().__init__()
        self._output = output
        self._block = (block,)  # no child: its weights are not of this module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._block[0], name)  # such as the type of its attention

    def forward(self, *_: Any, **__: Any) -> Any:
        """What the block would return."""
        return self._output
