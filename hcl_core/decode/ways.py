"""From a strategy to the decoder that follows it."""

from hcl_core.decode.dynamic import DynamicExitDecoder
from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.settings.strategies import Strategy


def with_strategy(decoder: TrieDecoder, strategy: Strategy) -> TrieDecoder:
    """``decoder``'s model, exit head and template, used as ``strategy`` says."""
    if strategy.name == "self_speculative":
        return SelfSpeculativeDecoder(decoder, strategy.num_speculations)
    return DynamicExitDecoder(decoder, strategy.rule) if strategy.rule is not None else decoder
