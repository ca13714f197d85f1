"""The witness inside pytest."""
