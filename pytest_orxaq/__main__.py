"""``python -m pytest_orxaq`` and the console script."""
