"""The ESP of the disk of two systems: made of its files, and where those stand that an update brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metallize_os import fat, job, slots
from metallize_os.two_systems import System


def make(
    task: job.Job, image: Path, sizes: slots.Layout, system: System, files: Mapping[str, bytes]
) -> Iterator[job.Part]:
    """The filesystem in its place, with the files by their whole names; the system's own are parts of the image."""
    at = slots.ESP_START
    fat.make(image, files, offset=at, size=sizes.esp, volume_id=task.fat_id("esp"), epoch=task.epoch)
    for suffix, name in ((".grub", system.grub), (".efi", system.kernel)):
        start = fat.place_of(image, name, files[name], offset=at, epoch=task.epoch)
        yield job.Part(suffix, start, len(files[name]))
