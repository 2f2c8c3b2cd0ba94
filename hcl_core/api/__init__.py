"""The Python API, as `docs/python.md` shows it: what the terminal does, as functions that return tables.

``hcl_core`` itself hands its names out; ``judging`` and ``progress`` are shared with the terminal.
"""
