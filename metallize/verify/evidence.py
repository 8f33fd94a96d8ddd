"""The guest's own logs, into the run folder; a courtesy that never changes the verdict."""

from __future__ import annotations

from pathlib import Path

from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Shell, ShellError
from metallize.verify.batch import make_batch, read_batch

EVIDENCE = ("dmesg", "journalctl -b --no-pager -o short-monotonic 2>/dev/null | tail -c 2000000")
EVIDENCE_OVER_SERIAL = (
    "dmesg | tail -n 500",
    "journalctl -b -p warning -n 200 --no-pager -o short-monotonic 2>/dev/null",
)
EVIDENCE_SECONDS = 10.0


def collect(shell: Shell, folder: Path, *, password: str | None, slowness: float) -> None:
    """Write dmesg.txt and journal.txt, as far as the shell gives them in time."""
    probes = EVIDENCE_OVER_SERIAL if shell.name == "serial" else EVIDENCE
    limit = Deadline.after(EVIDENCE_SECONDS * slowness, "the guest's logs")
    batch = make_batch(probes, password=password)
    try:
        answer = read_batch(batch, shell.run(batch.script, limit).stdout)
    except (ShellError, GuestFailed):
        return
    for name, observation in zip(("dmesg.txt", "journal.txt"), answer.observations, strict=True):
        if observation is not None and observation.stdout:
            (folder / name).write_text(observation.stdout, encoding="utf-8")
