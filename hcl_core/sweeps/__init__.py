"""Sweeps: a grid of runs over models, exit heads, question sets, temperatures, seeds and strategies.

``spec`` reads the file that asks for one, ``plan`` checks it against this machine and makes its ``cells``
(``foreseen``: what the files of its models tell; ``axes``: where a cell stands in the grid), ``folder`` keeps them on
disk, ``running`` runs them, ``shards`` divides them among machines, ``merging`` joins these again, and ``results`` and
``figure`` show what came of them.
"""
