"""Write an image to an SD card, a USB stick or a disk, and prove that it is there."""

from metallize.flash.devices import Disk, disks
from metallize.flash.stream import flash_stream
from metallize.flash.target import holds_something, is_device, require_allowed
from metallize.flash.write import Flashed, flash

__all__ = ["Disk", "Flashed", "disks", "flash", "flash_stream", "holds_something", "is_device", "require_allowed"]
