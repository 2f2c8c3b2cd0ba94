"""The choices a person has for a run: layers, prompt, strategy, preset."""
