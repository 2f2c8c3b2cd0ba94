"""Commands that measure judges."""
