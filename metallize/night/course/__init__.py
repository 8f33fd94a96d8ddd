"""One night, from its first build to its last boot."""
