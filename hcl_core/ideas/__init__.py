"""Which idea a right answer is: an accepted answer, or a cluster of meaning."""
