"""Pure rules: no clock, no files, no processes, no randomness, no environment."""
