"""Decoding at every exit layer: ``engine`` > ``trie``, ``kv_pool``, ``sampling``, ``exit_heads``, ``causal_lm``."""
