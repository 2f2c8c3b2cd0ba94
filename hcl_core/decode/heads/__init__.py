"""Exit heads: reading early layers, fitting the maps for it, and measuring them."""
