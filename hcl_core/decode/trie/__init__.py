"""The token trie of a prompt, what is stored for its nodes, and how tokens are drawn."""
