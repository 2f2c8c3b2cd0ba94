"""Arithmetic on outcome tables: scores, intervals, comparisons and further measures."""
