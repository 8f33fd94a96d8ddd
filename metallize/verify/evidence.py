"""What a run leaves beside its verdict: the guest's logs, its units, its display. Nothing here changes the verdict."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import GuestFailed, Shell, ShellError
from metallize.model.report import Finding, Stage
from metallize.patience import EVIDENCE_EVIDENCE as EVIDENCE_SECONDS
from metallize.qemu.vm import RunningGuest
from metallize.verify.looks.batch import make_batch, read_batch

DIAGNOSIS = "diagnosis.txt"
ENDED = frozenset(
    {"kernel-panic", "kernel-no-root", "guest-panicked", "guest-shutdown", "unexpected-reset", "init-frozen"}
    | {"qemu-ended", "qemu-kvm", "host-disk-full"}
)
"""Rules after which no shell of the guest answers any more."""

_UNITS = """\
[ -d /run/systemd/system ] || exit 0
seen() { echo "$ $*"; "$@" 2>&1 | head -n 300; echo; }
state=$(systemctl is-system-running)
echo "$ systemctl is-system-running"; echo "$state"; echo
if [ "$state" != running ]; then
  seen systemctl list-units --state=failed --plain --full --no-pager
  seen systemctl list-jobs --full --no-pager
  seen systemctl status --state=failed --full --lines=20 --no-pager
fi
seen systemd-analyze time --no-pager
"""
BOOT_TIMES = """\
echo "# seconds that each service took to start, and since the kernel's start when it was up"
set -- -p Id -p InactiveExitTimestampMonotonic -p ActiveEnterTimestampMonotonic -p InactiveEnterTimestampMonotonic
systemctl show "$@" '*.service' | awk -F'[=\\n]' -v RS= '{
  for (i = 1; i < NF; i += 2) v[$i] = $(i + 1)
  begun = v["InactiveExitTimestampMonotonic"]; up = v["ActiveEnterTimestampMonotonic"]
  if (up < begun) up = v["InactiveEnterTimestampMonotonic"]
  if (begun > 0 && up >= begun) printf "%9.3f %9.3f  %s\\n", (up - begun) / 1e6, up / 1e6, v["Id"]
}' | sort -rn | head -n 300
"""
"""The longest first. `systemd-analyze blame` and `critical-chain` tell the same of every unit, and cost an emulated
guest 6 s each."""

LOGS: Mapping[str, str] = {
    "dmesg.txt": "dmesg",
    "journal.txt": "journalctl -b --no-pager -o short-monotonic 2>/dev/null | tail -c 2000000",
    "units.txt": _UNITS + BOOT_TIMES,
}
LOGS_OVER_SERIAL: Mapping[str, str] = {
    "dmesg.txt": "dmesg | tail -n 500",
    "journal.txt": "journalctl -b -p warning -n 200 --no-pager -o short-monotonic 2>/dev/null",
    "units.txt": _UNITS + BOOT_TIMES.replace("head -n 300", "head -n 40"),
}
"""Less of everything: the line is slow."""


def collect(shell: Shell, folder: Path, *, password: str | None, slowness: float) -> None:
    """The guest's own logs into the run folder, what there is of them within the time."""
    logs = LOGS_OVER_SERIAL if shell.name == "serial" else LOGS
    limit = EVIDENCE_SECONDS * slowness
    batch = make_batch(tuple(logs.values()), password=password, limit=math.ceil(limit / 2))
    try:
        answer = read_batch(batch, shell.run(batch.script, Deadline.after(limit, "the guest's logs")).stdout)
    except (ShellError, GuestFailed, OSError):
        return
    for name, observation in zip(logs, answer.observations, strict=True):
        if observation is not None and observation.stdout:
            (folder / name).write_text(observation.stdout, encoding="utf-8")


def answers_still(stage: Stage, failure: Finding) -> bool:
    """Whether a shell that was logged in may answer after this failure."""
    return stage.rank >= Stage.LOGIN.rank and failure.rule not in ENDED


def take_screenshot(guest: RunningGuest) -> None:
    """screenshot.png, where the machine has a display (QMP screendump; PNG since QEMU 7.1)."""
    if guest.plan.display:
        path = (guest.folder / "screenshot.png").absolute()
        with contextlib.suppress(HostError):  # QEMU may be gone
            guest.monitor.execute("screendump", filename=str(path), format="png")


def write_diagnosis(lines: Sequence[str], folder: Path) -> None:
    """All that a guest showed of its network and its logins: what of it is the cause is in the report."""
    if lines:
        with contextlib.suppress(OSError):
            (folder / DIAGNOSIS).write_text("\n".join(lines) + "\n", encoding="utf-8")
