"""Releases in an OCI registry: requests, artifacts, container disks, a lock, and channels that are switched."""
