"""What destinations have in common that are reached over a line: a lock that runs out, and files read over it."""
