"""Secrets and SSH agents of the build: what is given, and which layers are lent it."""
