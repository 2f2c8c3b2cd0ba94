"""Families of the fast engine: a short file each, which says which module does what and what sets them apart."""
