"""What a person may choose for a run."""
