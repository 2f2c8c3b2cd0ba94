"""Decoding at every exit layer: ``engine`` and its strategies on top of ``trie``, ``heads`` and ``model``."""
