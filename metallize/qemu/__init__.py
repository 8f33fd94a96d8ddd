"""Virtual machines: what QEMU is told, its life, its console, and the ways into the guest."""

from metallize.qemu.interactive import boot_interactive

__all__ = ["boot_interactive"]
