"""A model in memory: found, loaded, and taken apart into the pieces that early exit needs."""
