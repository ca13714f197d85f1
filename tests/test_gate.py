"""A repository taken through the gate, end to end."""
