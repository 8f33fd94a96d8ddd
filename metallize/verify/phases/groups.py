"""boot.groups: each may ruin the guest, and each begins with it as it was when it was ready.

The guest is saved once and put back for each group. Where that fails, the groups that are left begin with a cold boot
of a fresh disk, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Shell
from metallize.model.assertion import Group
from metallize.model.kind import Claim, Observation
from metallize.model.report import Result
from metallize.verify.observer import Observer
from metallize.verify.phases import snapshots
from metallize.verify.prepared import PreparedBoot
from metallize.verify.session import BootSession

GROUP_SECONDS = 120.0
"""For the second looks of one group's assertions, on a host of normal speed."""


@dataclass(slots=True, kw_only=True)
class Groups:
    """The groups of one verification; `results` and `notes` grow, and `left` are those that need a cold boot."""

    session: BootSession
    left: Sequence[Group]
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def from_snapshot(self, shell: Shell) -> None:
        """Run one group after the other on the guest that is ready, and leave it as it was. Raises GuestFailed."""
        groups, taken = self.left, 0
        try:
            snapshot = snapshots.save(self.session, shell)
            for group in groups:
                self.results += run_group(self.session, group, shell)
                taken += 1
                self.left = groups[taken:]
                shell = snapshot.put_back(shell)
        except snapshots.SnapshotFailed as exc:
            cold = ", ".join(group.name for group in self.left)
            what = f"booted cold for {cold}" if cold else "the guest stays as its last group left it"
            self.notes.append(f"no group begins from the snapshot any more: {exc}; {what}")
        else:
            self.notes.append(saved_note(snapshot, self.session.boot_seconds))

    def from_cold(self, boot: PreparedBoot) -> None:
        """A boot of a fresh disk for each group that is left, while the first machine is off."""
        for group in self.left:
            with boot.with_fresh_disk() as fresh, fresh.switched_on(f"group-{group.name}") as guest:
                session = fresh.bare().session(guest, suffix=f" before group {group.name}")
                try:
                    session.run()
                except GuestFailed as failed:
                    self.results.append(_failed(group, failed))
                    continue
                shell = session.best_shell()
                if shell is None:
                    self.results.append(_result(group, "a shell", "a shell", "none", holds=False))
                    continue
                self.results += run_group(session, group, shell)
                session.close()
        self.left = ()


def run_group(session: BootSession, group: Group, shell: Shell) -> list[Result]:
    """Run a group's commands, then look at what it asserts; a guest that fails fails the group."""
    watch = session.guest.watch
    observer = Observer(
        request=session.request,
        watch=watch,
        deadline=Deadline.after(GROUP_SECONDS * watch.slowness, f"group {group.name}"),
        suffix=f" in group {group.name}",
        notes=session.notes,
    )
    try:
        results = []
        for command, seen in zip(group.run, observer.run(shell, group.run).observations, strict=True):
            results.append(judge_command(group, command, seen, observed=shell.name))
        if group.assertions:
            results += observer.assertions(shell, group.assertions)
        watch.check()
    except GuestFailed as failed:
        return [_failed(group, failed)]
    return results


def judge_command(group: Group, command: str, seen: Observation | None, *, observed: str) -> Result:
    """A command of a group must end with status 0; pure."""
    actual = str(seen.status) if seen is not None else "no answer"
    result = _result(group, f"run {command}", "0", actual, holds=seen is not None and seen.status == 0)
    said = "\n".join((seen.stderr or seen.stdout).strip().splitlines()[-5:]) if seen is not None else ""
    return Result(
        title=result.title,
        kind=result.kind,
        holds=result.holds,
        claims=result.claims,
        observed=observed,
        seconds=seen.seconds if seen is not None else 0.0,
        location=result.location,
        note="" if result.holds else said,
    )


def saved_note(snapshot: snapshots.Snapshot, cold_seconds: float) -> str:
    """What the snapshot cost and what it saved, as measured in this run; pure."""
    count = len(snapshot.restores)
    cost = snapshot.save_seconds + sum(snapshot.restores)
    avoided = (count - 1) * cold_seconds  # the first group needs no boot of its own either way
    each = sum(snapshot.restores) / max(count, 1)
    return (
        f"{count} group{'s' if count > 1 else ''} from one snapshot: saved in {snapshot.save_seconds:.1f} s, put back "
        f"in {each:.1f} s each, where a cold boot took {cold_seconds:.1f} s: {avoided - cost:+.1f} s gained"
    )


def _failed(group: Group, failed: GuestFailed) -> Result:
    finding = failed.finding
    seen = f"{finding.rule}: {finding.cause}"
    return _result(group, "the guest goes on", "no failure", seen, holds=False, note="\n".join(finding.context[-5:]))


def _result(group: Group, title: str, expected: str, actual: str, *, holds: bool, note: str = "") -> Result:
    claim = Claim(
        attribute="exit-status" if expected == "0" else "guest", expected=expected, actual=actual, holds=holds
    )
    return Result(
        title=f"{title} in group {group.name}",
        kind="group",
        holds=holds,
        claims=(claim,),
        observed="host",
        location=str(group.location),
        note=note,
    )
