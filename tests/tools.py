"""Programs that tests need: one that could be installed and is not is a failure, and not a test that is left out."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def is_nowhere(program: str, package: str) -> bool:
    """Whether a test may be left out: the program is not here, and apt knows no such package."""
    if shutil.which(program) is not None:
        return False
    if shutil.which("apt-cache") is None:
        return True
    known = subprocess.run(["apt-cache", "policy", package], check=False, capture_output=True, text=True)
    return "Candidate: (none)" in known.stdout or not known.stdout.strip()
