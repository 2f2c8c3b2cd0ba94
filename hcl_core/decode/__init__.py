"""Decoding at every exit layer: ``engine``, strategies as policies, and the ``forest`` that serves them."""
