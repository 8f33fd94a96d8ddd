"""Disks of two systems, of which an update replaces one: read from the host while the guest is off."""
