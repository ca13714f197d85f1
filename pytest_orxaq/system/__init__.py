"""Effects on the machine, one thing each."""
