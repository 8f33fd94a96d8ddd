"""The power goes while the guest writes, and comes back: what was synced must be there, and all must hold again.

QEMU is killed at a random moment; what it had not handed to the kernel is lost, as in a disk's own cache. A live system
keeps nothing, so that to it this is a plain second boot.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

from metallize.deadline import Deadline
from metallize.guest import Shell
from metallize.model.boot import PowerCut
from metallize.model.kind import Claim, Observation
from metallize.model.report import Result
from metallize.qemu.filesystems import Checked
from metallize.verify import identity
from metallize.verify.identity import Identity
from metallize.verify.session import BootSession

FOLDER = "after-the-power-cut"
"""Of the run folder: the console, the arguments and the logs of the boot that follows."""
SUFFIX = " after a power cut"
_AT_LEAST_SECONDS = 0.5
_PLACE = "/var/tmp/metallize-power-cut"  # noqa: S108 - in the guest, and in no other way writable by everybody
_ACKNOWLEDGED = "/dev/shm/metallize-power-cut"  # noqa: S108 - the same

_WRITE = f"""
mkdir -p {_PLACE} && : >{_PLACE}/log && sync || exit 1
setsid sh -c '
  n=0
  while :; do
    n=$((n + 1))
    dd if=/dev/urandom of={_PLACE}/data.new bs=4096 count=$((n % 97 + 1))
    mv {_PLACE}/data.new {_PLACE}/data.$((n % 13))
    rm -f {_PLACE}/data.$((n % 7))
    echo $n | dd of={_PLACE}/log oflag=append conv=notrunc,fsync && echo $n >{_ACKNOWLEDGED}.new &&
      mv {_ACKNOWLEDGED}.new {_ACKNOWLEDGED}
  done' </dev/null >/dev/null 2>&1 &
for i in 1 2 3 4 5 6 7 8 9 10; do [ -s {_ACKNOWLEDGED} ] && exit 0; sleep 1; done
exit 1
"""
"""Files come, are renamed and go; each record of the log is acknowledged, in memory, once it is on the disk."""
_ACKNOWLEDGE = f"cat {_ACKNOWLEDGED}"
_COUNT = f'n=0; while read -r x && [ "$x" = $((n + 1)) ]; do n=$x; done <{_PLACE}/log; echo $n; rm -rf {_PLACE}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What is known of a guest whose power is about to go."""

    seed: int
    after_seconds: float
    """So long it had been writing."""
    boot_id: str
    before: Identity | None
    records: int | None
    """How many are on the disk for certain; None for a live system, which keeps none."""

    @property
    def note(self) -> str:
        if self.records is None:
            return "a live system keeps nothing: the power cut was a plain second boot"
        return (
            f"the power was cut {self.after_seconds:.2f} s into writing, after {self.records} synced records; "
            f"power_cut: {{seed: {self.seed}}} chooses the same moment"
        )


def prepare(options: PowerCut, session: BootSession, shell: Shell) -> Cut | Result:
    """Let the guest write until its moment has come, or say why that was not possible. Raises GuestFailed.

    Whoever gets the cut pulls the plug at once.
    """
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 31)
    wait = random.Random(seed).uniform(_AT_LEAST_SECONDS, options.within.total_seconds())  # noqa: S311 - no secret
    [seen] = session.observer.run(shell, [identity.PROBE]).observations
    before = identity.read_identity(seen)
    if before is None or not before.persistent:
        return Cut(seed=seed, after_seconds=0, boot_id=session.boot_id, before=before, records=None)
    [writing] = session.observer.run(shell, [_WRITE]).observations
    if writing is None or writing.status != 0:
        said = f"status {writing.status}: {writing.stderr.strip()}" if writing else "no answer"
        return _result("the guest writes before the cut", "records on the disk", said, holds=False, suffix="")
    session.guest.watch.wait(lambda: None, Deadline.after(wait, "the power cut"))
    [answer] = session.observer.run(shell, [_ACKNOWLEDGE]).observations
    return Cut(seed=seed, after_seconds=wait, boot_id=session.boot_id, before=before, records=_number(answer))


def judge_filesystems(checked: tuple[Checked, ...]) -> list[Result]:
    """Each filesystem as the cut left it: a journal to replay is fine, anything else is not."""
    return [
        _result(
            f"filesystem of partition {each.partition.number}",
            f"clean {each.kind} once its journal is replayed",
            each.problem.splitlines()[-1] if each.problem else "clean",
            holds=not each.problem,
            note=each.problem,
            observed="e2fsck on the host",
        )
        for each in checked
    ]


def judge_survivor(cut: Cut, session: BootSession, shell: Shell) -> list[Result]:
    """The boot after the cut against the one before. Raises GuestFailed."""
    renewed = bool(session.boot_id) and session.boot_id != cut.boot_id
    expected = f"a boot_id other than {cut.boot_id}"
    results = [_result("another boot", expected, session.boot_id, holds=renewed)]
    if cut.records is None:
        return results
    seen, counted = session.observer.run(shell, [identity.PROBE, _COUNT]).observations
    after = identity.read_identity(seen)
    results.append(identity.judge_identity(cut.before, after, observed=shell.name, suffix=SUFFIX))
    there = _number(counted)
    results.append(
        _result(
            "what was synced is there",
            f"at least {cut.records} records",
            f"{there}",
            holds=there >= cut.records > 0,
            observed=shell.name,
        )
    )
    return results


def _number(observation: Observation | None) -> int:
    text = observation.stdout.strip() if observation is not None else ""
    return int(text) if text.isdecimal() else 0


def _result(
    title: str,
    expected: str,
    actual: str,
    *,
    holds: bool,
    note: str = "",
    suffix: str = SUFFIX,
    observed: str = "host",
) -> Result:
    claim = Claim(attribute="power cut", expected=expected, actual=actual, holds=holds)
    return Result(
        title=f"{title}{suffix}", kind="power-cut", holds=holds, claims=(claim,), observed=observed, note=note
    )
