"""The phases of a verification: each plans the entries that it will settle, and then settles them on a guest."""
