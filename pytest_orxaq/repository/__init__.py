"""Effects on a git repository."""
