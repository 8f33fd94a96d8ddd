"""Virtual machines: what QEMU is told, and the life of one machine."""
