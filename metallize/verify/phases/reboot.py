"""A clean reboot through the shell, and everything once more."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.kind import Claim
from metallize.model.report import Entry
from metallize.patience import REBOOT_REBOOT as REBOOT_SECONDS
from metallize.verify.boot import plan_boot, run_boot
from metallize.verify.checklist import AFTER_REBOOT, Checklist, Turn
from metallize.verify.looks import identity
from metallize.verify.looks.batch import make_batch
from metallize.verify.looks.identity import Identity
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

_ASKED = "reboot/clean"
_RENEWED = "reboot/renewed"
_SAME = "reboot/identity"


def plan(request: VerifyRequest, turn: Turn = AFTER_REBOOT) -> tuple[Entry, ...]:
    """The reboot itself, the whole boot after it, and what must have changed and what not."""
    return (
        turn.entry(_ASKED, "clean reboot", "reboot"),
        *plan_boot(request, turn),
        turn.entry(_RENEWED, "another boot", "reboot"),
        turn.entry(_SAME, "the same machine", "identity"),
    )


def reboot(before: BootSession, after: BootSession) -> None:
    """Reboot the guest of a session that is ready, and judge it again in the second. Raises GuestFailed."""
    was = restart(before, after.entry(_ASKED), after.checklist)
    if was is None:
        return
    after.from_position = was.position
    run_boot(after)
    judge_renewed(after, before.boot_id, _RENEWED)
    shell = after.best_shell()
    if shell is not None:
        [seen] = after.observer.run(shell, [identity.PROBE]).observations
        now = identity.read_identity(seen)
        after.checklist.settle(identity.judge_identity(after.entry(_SAME), was.identity, now, observed=shell.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A guest that has just been reset."""

    position: int
    """Where on the console its new boot begins."""
    identity: Identity | None
    """Of the machine before."""


def restart(before: BootSession, asked: Entry, checklist: Checklist) -> Restarted | None:
    """Have the guest of a session that is ready end cleanly and begin again; None where it does not.

    Raises GuestFailed.
    """
    guest, watch = before.guest, before.guest.watch
    slowness = watch.slowness
    shell = before.best_shell()
    if shell is None:
        checklist.settle(asked.unseen("no shell is logged in that could ask for it"))
        return None
    resets = watch.resets
    [seen] = before.observer.run(shell, [identity.PROBE]).observations
    was = identity.read_identity(seen)
    watch.expect_reset()
    guest.monitor.execute("query-rx-filter")  # QEMU tells of the network card's start only once after each question
    position = guest.console.position
    command = "(sleep 1; systemctl reboot || reboot) >/dev/null 2>&1 &"
    batch = make_batch([command], password=before.observer.password(shell))
    with contextlib.suppress(ShellError):  # the line may go down before the answer
        shell.run(batch.script, Deadline.after(30 * slowness, "the reboot to be asked for"))
    shell.close()
    limit = REBOOT_SECONDS * slowness
    done = watch.wait(
        lambda: True if watch.resets > resets else None,
        Deadline.after(limit, "the guest to reboot"),
    )
    actual = "a reset" if done else f"none within {limit:.0f} s"
    claim = Claim(attribute="reboot", expected="a reset", actual=actual, holds=bool(done))
    checklist.settle(asked.judged(claim, observed="qmp"))
    return Restarted(position=max(position, guest.console.position), identity=was) if done else None


def judge_renewed(after: BootSession, before: str | None, id_: str) -> None:
    """Whether it is another boot that answers, and not the old system: by the kernel's own id of each."""
    entry = after.entry(id_)
    if before is None or after.boot_id is None:
        after.checklist.settle(entry.unseen("asked both boots for /proc/sys/kernel/random/boot_id: no answer"))
        return
    claim = Claim(
        attribute="boot_id", expected=f"other than {before}", actual=after.boot_id, holds=after.boot_id != before
    )
    after.checklist.settle(entry.judged(claim))
