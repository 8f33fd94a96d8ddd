"""Where this user's programs keep what they can do without (XDG Base Directory Specification, XDG_CACHE_HOME)."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Ours; it need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metallize"
