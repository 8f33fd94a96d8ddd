"""Statements as they are signed, bundled and read again, and the files that they are of."""
