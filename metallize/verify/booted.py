"""A guest that was verified and still runs, for whoever goes on with it: a person, or a test."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from metallize.guest import ShellError
from metallize.model.report import BootReport
from metallize.qemu.vm import RunningGuest
from metallize.verify.boot import run_boot
from metallize.verify.checklist import AFTER_POWER_CUT, AFTER_REBOOT, Checklist
from metallize.verify.phases import reboot
from metallize.verify.prepared import PreparedBoot
from metallize.verify.session import BootSession


@dataclass(slots=True, kw_only=True)
class Booted:
    """What its boot showed, and the session that is logged in to it."""

    report: BootReport
    boot: PreparedBoot
    session: BootSession
    power: ExitStack
    """Holds the running machine; closing it pulls the plug."""
    cuts: int = 0

    @property
    def guest(self) -> RunningGuest:
        return self.session.guest

    def reboot(self) -> None:
        """A clean reboot, until the guest is ready again. Raises GuestFailed, or ShellError where it did not reboot."""
        bare = self.boot.bare()
        after = bare.session(self.guest, AFTER_REBOOT, Checklist(reboot.plan(bare.request)))
        reboot.reboot(self.session, after)
        self._goes_on(after)

    def power_cut(self) -> None:
        """Pull the plug, switch on again with the same disk, and wait until the guest is ready; raises as `reboot`."""
        self.power.close()
        self.cuts += 1
        again = self.boot.bare()
        guest = self.power.enter_context(again.switched_on(f"after-power-cut-{self.cuts}"))
        after = again.session(guest, AFTER_POWER_CUT)
        self.session = after
        run_boot(after)
        self._goes_on(after)

    def _goes_on(self, after: BootSession) -> None:
        self.session = after
        for result in after.results:
            if not result.holds:
                claim = next((claim for claim in result.claims if not claim.holds), None)
                found = f": expected {claim.expected}, found {claim.actual}" if claim else f": {result.note}"
                raise ShellError(f"{result.title}{found}")
