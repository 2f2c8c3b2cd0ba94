"""Exit heads: how an early layer is read, fitted and measured."""
