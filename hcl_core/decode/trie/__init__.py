"""The tree of each prompt, the tensors stored for its nodes, and what a step does with all: blocks, readouts, draws."""
