"""From a container's rootfs to an operating system's image: the library that every generator runs on.

It lives in the generators' image and uses the standard library only, because it runs where nothing else is:
in a container with no network, no capability and a read-only root.
"""
