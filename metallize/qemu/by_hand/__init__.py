"""A guest for a person: its terminal, the ways in, and how another process finds it."""
