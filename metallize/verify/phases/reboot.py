"""A clean reboot through the shell, and everything once more."""

from __future__ import annotations

import contextlib

from metallize.deadline import Deadline
from metallize.guest import ShellError
from metallize.model.kind import Claim
from metallize.model.report import Result
from metallize.verify import identity
from metallize.verify.batch import make_batch
from metallize.verify.session import BootSession

REBOOT_SECONDS = 60.0
SUFFIX = " after a reboot"


def reboot(before: BootSession, after: BootSession) -> None:
    """Reboot the guest of a session that is ready, and judge it again in the second. Raises GuestFailed."""
    guest, watch = before.guest, before.guest.watch
    slowness = watch.slowness
    shell = before.best_shell()
    if shell is None:
        after.results.append(_result("a shell to ask for it", "none", holds=False))
        return
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
    if done is None:
        after.results.append(_result("a reset", f"none within {limit:.0f} s", holds=False))
        return
    after.from_position = max(position, guest.console.position)
    after.run()
    renewed = bool(after.boot_id) and after.boot_id != before.boot_id
    after.results.append(_result(f"a boot_id other than {before.boot_id}", after.boot_id, holds=renewed))
    shell = after.best_shell()
    if shell is not None and was is not None and was.persistent:
        [seen] = after.observer.run(shell, [identity.PROBE]).observations
        now = identity.read_identity(seen)
        after.results.append(identity.judge_identity(was, now, observed=shell.name, suffix=SUFFIX))


def _result(expected: str, actual: str, *, holds: bool) -> Result:
    claim = Claim(attribute="reboot", expected=expected, actual=actual, holds=holds)
    return Result(title="clean reboot", kind="reboot", holds=holds, claims=(claim,), observed="host")
