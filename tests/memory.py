"""How much memory this very program has held at most.

getrusage(2)'s ru_maxrss is no answer: it outlives execve(2), so that a small program that a large one started begins
at the large one's peak, and it cannot be set back. VmHWM is of the program alone, and clear_refs sets it back to what
is held now (proc_pid_status(5), proc_pid_clear_refs(5)).
"""

from __future__ import annotations

import re
from pathlib import Path


def peak_kib() -> int:
    """The highest resident size since the program began, or since `reset_peak`."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None, "this kernel does not say"
    return int(found[1])


def reset_peak() -> int:
    """Count from now on; what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_kib()
