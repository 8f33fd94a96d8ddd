"""Bootable OS images from Dockerfiles, proven to boot before anyone can publish them."""

__version__ = "0.1.0"
