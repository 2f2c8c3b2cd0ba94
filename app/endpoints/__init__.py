"""The page for programs: named functions with typed parameters, whose results are JSON; errors have a code."""
