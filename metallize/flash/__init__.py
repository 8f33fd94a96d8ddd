"""Write an image to an SD card, a USB stick or a disk, and prove that it is there."""

from metallize.flash.devices import Disk, disks
from metallize.flash.write import Flashed, flash, is_device, require_allowed

__all__ = ["Disk", "Flashed", "disks", "flash", "is_device", "require_allowed"]
