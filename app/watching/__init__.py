"""What the owner of a page sees of it while it runs: its health, its numbers and its log. Nothing of visitors."""
