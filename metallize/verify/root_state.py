"""The root filesystem as a reason why units fail: mounted read-only, or full."""

from __future__ import annotations

from metallize.model.kind import Observation

ROOT_PROBE = (
    'while read -r d m t o rest; do [ "$m" = / ] && root="$t $o"; done </proc/mounts; echo "$root"; '
    'for by in k i; do df -P$by / | { read -r heads; read -r line; echo "$line"; }; done'
)
"""Type and options of what was mounted last on /, then df's line of blocks and df's line of inodes (POSIX format)."""
_FULL_SHARE = 0.001


def explain_root(observation: Observation | None) -> str:
    """What is wrong with the root filesystem, in a few words; empty where nothing is. Pure.

    A root that is read-only by design is nothing wrong: only where units fail is it worth a word.
    """
    lines = observation.stdout.splitlines() if observation else []
    kind, _, options = (lines[0] if lines else "").partition(" ")
    if "ro" in options.split(","):
        return f"the root filesystem ({kind}) is mounted read-only"
    for line, what in zip(lines[1:3], ("", " of inodes"), strict=False):
        fields = line.split()
        if len(fields) >= 4 and fields[1].isdigit() and fields[3].lstrip("-").isdigit():  # noqa: PLR2004 - df's columns
            total, free = int(fields[1]), int(fields[3])
            if total and free <= total * _FULL_SHARE:
                return f"the root filesystem ({kind}) is full{what}: {free} of {total} are free"
    return ""
