"""Other evaluation programs that can use a model at an exit layer: `docs/neighbours.md`. Each needs its own package.

``harness`` is for EleutherAI's lm-evaluation-harness, ``inspect_provider`` for Inspect; nothing else imports them.
"""
