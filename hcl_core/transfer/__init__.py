"""How a run leaves this machine and comes to another."""
