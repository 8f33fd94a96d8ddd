"""Virtual machines: what QEMU is told, and the life of one machine."""

from metallize.qemu.by_hand.interactive import boot_interactive

__all__ = ["boot_interactive"]
