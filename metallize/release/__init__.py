"""Releases: folders that the clients of today read, made of verified images and of nothing else."""
