"""The token trie of a prompt, the tensors stored for its nodes, and the draws."""
