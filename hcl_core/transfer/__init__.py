"""Runs exported from this machine, and imported from another."""
