"""What the watch keeps of a line that means something, and the times it goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from metallize.model.report import Finding, Severity, Stage

CONTEXT_BEFORE = 8
CONTEXT_AFTER = 12
MAX_FINDINGS = 100
SHOWN_CHARACTERS = 40_000
"""Of a read, as much as the recent lines are taken from: a flood is not split into lines."""
SETTLE_SECONDS = 0.5
"""After a fatal line, for the lines that explain it."""
PROMPT_QUIET_SECONDS = 1.0
"""A prompt is a line after which nothing comes for so long."""
STALL_GRACE_SECONDS = 15.0
"""On a host of normal speed; a boot that gets to another stage, or prints a job's progress, is no stall."""
SILENCE_SECONDS: Mapping[Stage, float] = {
    Stage.QEMU: 30.0,
    Stage.FIRMWARE: 30.0,
    Stage.LOADER: 60.0,
    Stage.KERNEL: 60.0,
    Stage.INITRD: 90.0,
    Stage.USERSPACE: 120.0,
}
"""How long each stage may print nothing on a host of normal speed."""
LOGIN_PROMPT = re.compile(r"(?<!Last )\blogin: ?$")


@dataclass(slots=True)
class Seen:
    """A finding, what may still be added to it, and from when on it counts."""

    finding: Finding
    due: float
    before: tuple[str, ...]
    after: list[str] = field(default_factory=list)

    def complete(self) -> Finding:
        return replace(self.finding, context=(*self.before, self.finding.line, *self.after))

    def weighed(self, severity: Severity) -> Seen:
        """The same with another severity."""
        return replace(self, finding=replace(self.finding, severity=severity))
