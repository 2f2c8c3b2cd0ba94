"""Judges: adapters of the ``Judge`` port."""
