"""Which time of last change each file has in the image: one that every build of the same packages and layers agrees on.

A file that a package brought keeps the time that its package gave it, up to the epoch. The time of anything else tells
when a checkout, a base image or a layer was made, which is another on each host: it gets the epoch itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LIST = ".metallize-made-here"
"""What the seal leaves in the rootfs, first in the archive: the paths that no package brought, one a line."""


@dataclass(slots=True)
class Dating:
    """The times of one image."""

    epoch: int
    """Seconds since 1970; no time in the image is later (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    made_here: set[str] = field(default_factory=set)

    def learn(self, listed: bytes) -> None:
        """Take what LIST holds."""
        self.made_here = set(listed.decode("utf-8", "surrogateescape").splitlines())

    def keeps(self, name: str, *, is_directory: bool = False) -> bool:
        """Whether the file's own time, up to the epoch, is that of its package."""
        # A folder changes with whatever is put into it, and /etc with what scripts of packages write there.
        return not is_directory and not name.startswith("etc/") and name not in self.made_here
