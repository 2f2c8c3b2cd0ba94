"""From a strategy to the decoder that follows it."""

from hcl_core.decode.dynamic import DynamicExitDecoder
from hcl_core.decode.engine import EngineDecoder, EngineParts, TrieDecoder
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.settings.strategies import Strategy


def decoder_of(parts: EngineParts, strategy: Strategy) -> EngineDecoder:
    """A decoder of ``parts`` that follows ``strategy``."""
    if strategy.name == "self_speculative":
        return SelfSpeculativeDecoder(parts, strategy.num_speculations)
    if strategy.rule is not None:
        return DynamicExitDecoder(parts, strategy.rule)
    return TrieDecoder(parts)
