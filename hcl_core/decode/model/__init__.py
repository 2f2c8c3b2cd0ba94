"""A model: its weights found and loaded, and split into the parts that early exit needs."""
