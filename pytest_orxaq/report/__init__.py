"""Tell a run to people: read, assemble, render."""
