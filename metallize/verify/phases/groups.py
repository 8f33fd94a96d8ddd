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
from metallize.model.report import Entry, Result, Severity
from metallize.verify.boot import run_boot
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.looks.observer import Observer
from metallize.verify.phases import assertions, snapshots
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

GROUP_SECONDS = 120.0
"""For the second looks of one group's assertions, on a host of normal speed."""
DRAIN_SECONDS = 60.0
"""For what may yet prove to be a failure when a group has ended, on a host of normal speed."""


def turn_of(group: Group) -> Turn:
    """What a group's entries are called by."""
    return Turn(name=f"group/{group.name}", suffix=f" in group {group.name}")


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """Of each group: every command that it runs, what it asserts, and that the guest goes on."""
    entries: list[Entry] = []
    for group in request.groups:
        turn, place = turn_of(group), str(group.location)
        entries += [
            turn.entry(f"run/{number}", f"run {command}", "group", location=place)
            for number, command in enumerate(group.run, start=1)
        ]
        entries += assertions.plan(turn, group.assertions)
        entries.append(turn.entry("guest", "the guest goes on", "group", location=place))
    return tuple(entries)


@dataclass(slots=True, kw_only=True)
class Groups:
    """The groups of one verification; `notes` grow, and `left` are those that need a cold boot."""

    session: BootSession
    left: Sequence[Group]
    notes: list[str] = field(default_factory=list)

    def from_snapshot(self, shell: Shell) -> None:
        """Run one group after the other on the guest that is ready, and leave it as it was. Raises GuestFailed."""
        groups, taken = self.left, 0
        try:
            snapshot = snapshots.save(self.session, shell)
            for group in groups:
                run_group(self.session, self.session.checklist, group, shell)
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
            checklist = self.session.checklist
            goes_on = checklist[f"{turn_of(group).name}/guest"]
            with boot.with_fresh_disk() as fresh, fresh.switched_on(f"group-{group.name}") as guest:
                before = Turn(name="cold", suffix=f" before group {group.name}")
                session = fresh.bare().session(guest, before)
                try:
                    run_boot(session)
                except GuestFailed as failed:
                    checklist.settle(_failed(goes_on, failed))
                    continue
                wrong = next((each for each in session.results if not each.holds), None)
                shell = session.best_shell()
                if shell is None or wrong is not None:
                    why = f"{wrong.title}: {wrong.status}" if wrong is not None else "no shell is logged in"
                    checklist.settle(goes_on.unseen(f"the cold boot before it did not pass: {why}"))
                    continue
                run_group(session, checklist, group, shell)
                session.close()
        self.left = ()


def run_group(session: BootSession, checklist: Checklist, group: Group, shell: Shell) -> None:
    """Run a group's commands, then look at what it asserts; a guest that fails, or shows a fault, fails the group."""
    watch, turn = session.guest.watch, turn_of(group)
    known = len(watch.findings)
    observer = Observer(
        request=session.request,
        watch=watch,
        deadline=Deadline.after(GROUP_SECONDS * watch.slowness, f"group {group.name}"),
        notes=session.notes,
    )
    goes_on = checklist[f"{turn.name}/guest"]
    asked = [each for each in checklist.entries if each.id.startswith(f"{turn.name}/assert/")]
    try:
        seen = observer.run(shell, group.run).observations
        for number, (command, observation) in enumerate(zip(group.run, seen, strict=True), start=1):
            entry = checklist[f"{turn.name}/run/{number}"]
            checklist.settle(judge_command(entry, command, observation, observed=shell.name))
        if group.assertions:
            checklist.settle(*observer.assertions(shell, asked, group.assertions))
        pending = watch.drain(Deadline.after(DRAIN_SECONDS * watch.slowness, "what may yet be a failure"))
    except GuestFailed as failed:
        checklist.settle(_failed(goes_on, failed))
        return
    faults = [each for each in watch.findings[known:] if each.severity is Severity.FAULT]
    if pending:
        checklist.settle(goes_on.unseen(f"waited for what may yet be a failure: {'; '.join(pending)}"))
        return
    claims = [_claim("no failure", f"{each.rule}: {each.cause}", holds=False) for each in faults]
    checklist.settle(goes_on.judged(*(claims or [_claim("no failure", "none", holds=True)]), observed="console"))


def judge_command(entry: Entry, command: str, seen: Observation | None, *, observed: str) -> Result:
    """A command of a group must end with status 0; pure."""
    if seen is None:
        return entry.unseen(f"ran `{command}`: no answer", observed=observed)
    holds = seen.status == 0
    said = "\n".join((seen.stderr or seen.stdout).strip().splitlines()[-5:])
    claim = Claim(attribute="exit-status", expected="0", actual=str(seen.status), holds=holds)
    return entry.judged(claim, observed=observed, seconds=seen.seconds, note="" if holds else said)


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


def _failed(entry: Entry, failed: GuestFailed) -> Result:
    finding = failed.finding
    claim = _claim("no failure", f"{finding.rule}: {finding.cause}", holds=False)
    return entry.judged(claim, observed="console", note="\n".join(finding.context[-5:]))


def _claim(expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute="guest", expected=expected, actual=actual, holds=holds)
