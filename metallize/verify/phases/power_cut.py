"""The power goes while the guest writes, and comes back: what was synced must be there, and all must hold again.

QEMU is killed at a random moment; what it had not handed to the kernel is lost, as in a disk's own cache. Of other
moments the host replays the log of what was written (qemu/moments.py): there a disk may have lost or torn whatever no
flush had made sure of. A live system keeps nothing, so that to it this is a plain second boot.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from pathlib import Path

from metallize.deadline import Deadline
from metallize.guest import Shell
from metallize.model.boot import PowerCut
from metallize.model.kind import Claim, Observation, whole_number
from metallize.model.report import Entry, Result
from metallize.patience import POWER_CUT_AT_LEAST as _AT_LEAST_SECONDS
from metallize.qemu.argv import GuestPlan
from metallize.qemu.filesystems import Checked, check_filesystems
from metallize.qemu.moments import Moments, check_moments
from metallize.verify.boot import plan_boot
from metallize.verify.checklist import AFTER_POWER_CUT, Checklist, Turn, at_moment
from metallize.verify.looks import identity
from metallize.verify.looks.identity import Identity
from metallize.verify.phases.reboot import judge_renewed
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

FOLDER = "after-the-power-cut"
"""Of the run folder: the console, the arguments and the logs of the boot that follows."""
_WRITING = "power-cut/writes"
_FILESYSTEMS = "power-cut/filesystems"
_MOMENTS = "power-cut/moments"
_RENEWED = "power-cut/renewed"
_SAME = "power-cut/identity"
_SYNCED = "power-cut/synced"
_LIVE = "a live system keeps nothing: the power cut was a plain second boot"
_PLACE = "/var/tmp/metallize-power-cut"  # noqa: S108 - in the guest, and in no other way writable by everybody
_SHOWN = 5
"""Of the moments at which something is wrong."""
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
    boot_id: str | None
    before: Identity | None
    records: int | None
    """How many are on the disk for certain; None for a live system, which keeps none."""

    @property
    def note(self) -> str:
        if self.records is None:
            return _LIVE
        return (
            f"the power was cut {self.after_seconds:.2f} s into writing, after {self.records} synced records; "
            f"power_cut: {{seed: {self.seed}}} chooses the same moment"
        )


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """The cut, the filesystems as it left them, the whole boot after it, and what must be there again."""
    turn, options = AFTER_POWER_CUT, request.boot.power_cut
    moments = options.moments if options is not None else 0
    return (
        turn.entry(_WRITING, "the guest writes before the cut", "power-cut"),
        turn.entry(_FILESYSTEMS, "filesystems are whole", "power-cut"),
        *((turn.entry(_MOMENTS, f"filesystems are whole at {moments} moments", "power-cut"),) if moments else ()),
        *plan_boot(request, turn),
        turn.entry(_RENEWED, "another boot", "power-cut"),
        turn.entry(_SAME, "the same machine", "identity"),
        turn.entry(_SYNCED, "what was synced is there", "power-cut"),
        *(each for other in moments_of(request) for each in plan_boot(request, other)),
    )


def moments_of(request: VerifyRequest) -> tuple[Turn, ...]:
    """The boots of the disk at other moments."""
    options = request.boot.power_cut
    return tuple(at_moment(number + 1) for number in range(options.boots if options is not None else 0))


def prepare(options: PowerCut, session: BootSession, shell: Shell) -> Cut | None:
    """Let the guest write until its moment has come; None where it does not. Raises GuestFailed.

    Whoever gets the cut pulls the plug at once.
    """
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 31)
    wait = random.Random(seed).uniform(_AT_LEAST_SECONDS, options.within.total_seconds())  # noqa: S311 - no secret
    checklist = session.checklist
    entry = checklist[f"{AFTER_POWER_CUT.name}/{_WRITING}"]
    [seen] = session.observer.run(shell, [identity.PROBE]).observations
    before = identity.read_identity(seen)
    if before is None or not before.filesystem:
        checklist.settle(entry.unseen("asked the guest what it keeps: no whole answer", observed=shell.name))
        return None
    if not before.persistent:
        kept = Claim(attribute="kept", expected="nothing", actual=f"nothing ({before.filesystem})", holds=True)
        checklist.settle(entry.judged(kept, observed=shell.name, note=_LIVE))
        return Cut(seed=seed, after_seconds=0, boot_id=session.boot_id, before=before, records=None)
    [writing] = session.observer.run(shell, [_WRITE]).observations
    if writing is None:
        checklist.settle(entry.unseen("asked the guest to write: no answer", observed=shell.name))
        return None
    if writing.status != 0:
        said = f"status {writing.status}: {writing.stderr.strip()}"
        checklist.settle(entry.judged(_claim("records on the disk", said, holds=False), observed=shell.name))
        return None
    session.guest.watch.wait(lambda: None, Deadline.after(wait, "the power cut"))
    [answer] = session.observer.run(shell, [_ACKNOWLEDGE]).observations
    records = _number(answer)
    if not records:
        checklist.settle(entry.unseen("asked the guest how much is on the disk: no number", observed=shell.name))
        return None
    checklist.settle(entry.judged(_claim("records on the disk", f"{records} records", holds=True), observed=shell.name))
    return Cut(seed=seed, after_seconds=wait, boot_id=session.boot_id, before=before, records=records)


def judge_filesystems(entry: Entry, cut: Cut, checked: tuple[Checked, ...]) -> Result:
    """Each filesystem as the cut left it: a journal to replay is fine, anything else is not."""
    if cut.records is None:
        return entry.judged(_claim("nothing kept", "nothing kept", holds=True), note=_LIVE)
    if not any(each.kind for each in checked):
        return entry.unseen("looked for filesystems on the disk that the host can check: there is none")
    claims = [
        Claim(
            attribute=f"partition {each.partition.number}",
            expected=f"clean {each.kind} once its journal is replayed",
            actual=each.problem.splitlines()[-1] if each.problem else "clean",
            holds=not each.problem,
            note=each.problem,
        )
        for each in checked
        if each.kind
    ]
    claims += [
        Claim(
            attribute=f"partition {each.partition.number}",
            expected="a filesystem that the host can check",
            actual="not seen",
            holds=False,
            note=each.problem or "it is no ext4, and nothing else is checked",
            unseen=True,
        )
        for each in checked
        if not each.kind
    ]
    return entry.judged(*claims, observed="e2fsck on the host")


def judge_moments(entry: Entry, cut: Cut, seen: Moments | None) -> Result:
    """The filesystems at the other moments; None where nothing was kept that could be damaged."""
    if cut.records is None:
        return entry.judged(_claim("nothing kept", "nothing kept", holds=True), note=_LIVE)
    if seen is None or not seen.tried or not seen.checks:
        return entry.unseen("looked for filesystems on the disk that the host can check: there is none")
    note = (
        f"{seen.tried} of the moments in {seen.writes} writes and {seen.flushes} flushes since it was switched on, "
        f"in {seen.seconds:.1f} s; power_cut: {{seed: {cut.seed}}} chooses the same of the same writes"
    )
    whole = Claim(
        attribute="filesystems", expected="whole at each moment, once their journals are replayed",
        actual=f"damaged at {len(seen.faults)} of {seen.tried}" if seen.faults else f"whole at all {seen.tried}",
        holds=not seen.faults,
    )  # fmt: skip
    faults = (
        Claim(
            attribute=f"partition {fault.partition} {fault.cut}", expected="clean",
            actual=fault.problem.splitlines()[-1], holds=False, note=fault.problem,
        )
        for fault in seen.faults[:_SHOWN]
    )  # fmt: skip
    return entry.judged(whole, *faults, observed="e2fsck on the host", note=note)


def judge_survivor(cut: Cut, session: BootSession) -> None:
    """The boot after the cut against the one before. Raises GuestFailed."""
    judge_renewed(session, cut.boot_id, _RENEWED)
    shell, checklist = session.best_shell(), session.checklist
    if shell is None:
        return
    seen, counted = session.observer.run(shell, [identity.PROBE, _COUNT]).observations
    after = identity.read_identity(seen)
    checklist.settle(identity.judge_identity(session.entry(_SAME), cut.before, after, observed=shell.name))
    synced = session.entry(_SYNCED)
    there = _number(counted)
    if cut.records is None:
        checklist.settle(synced.judged(_claim("nothing kept", "nothing kept", holds=True), note=_LIVE))
    elif there is None:
        checklist.settle(synced.unseen("asked the guest how many records are there: no number", observed=shell.name))
    else:
        claim = _claim(f"at least {cut.records} records", f"{there}", holds=there >= cut.records)
        checklist.settle(synced.judged(claim, observed=shell.name))


def settle_while_off(cut: Cut, options: PowerCut, checklist: Checklist, boot: GuestPlan, folder: Path) -> None:
    """What is seen of the disk while the machine is off. Raises HostError or CommandError where nobody can look."""
    kept = cut.records is not None
    checked = check_filesystems(boot, folder) if kept else ()
    entry = checklist[f"{AFTER_POWER_CUT.name}/{_FILESYSTEMS}"]
    checklist.settle(judge_filesystems(entry, cut, checked))
    if options.moments:
        seen = check_moments(boot, folder, options.moments, cut.seed) if kept else None
        checklist.settle(judge_moments(checklist[f"{AFTER_POWER_CUT.name}/{_MOMENTS}"], cut, seen))


def _number(observation: Observation | None) -> int | None:
    text = observation.stdout.strip() if observation is not None and observation.status == 0 else ""
    number = whole_number(text)
    return number if number is not None and number >= 0 else None


def _claim(expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute="power cut", expected=expected, actual=actual, holds=holds)
