"""A watch that is fed raw bytes of a serial port, with a clock of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from metallize.console.normalise import Normaliser
from metallize.console.port import Lines
from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.guest import GuestFailed
from metallize.model.boot import ConsoleRules
from metallize.model.report import Finding, Stage

LEADS: dict[Stage, bytes] = {
    Stage.QEMU: b"",
    Stage.FIRMWARE: b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n",
    Stage.LOADER: b"GRUB loading.\r\nWelcome to GRUB!\r\n",
    Stage.KERNEL: b"[    0.000000] Linux version 6.12.57+deb13-amd64 (debian-kernel@lists.debian.org)\r\n",
    Stage.INITRD: b"[    1.823000] Run /init as init process\r\nLoading, please wait...\r\n",
    Stage.USERSPACE: b"\r\nWelcome to \x1b[1mDebian GNU/Linux 13 (trixie)\x1b[0m!\r\n\r\n",
}
"""What brings a boot to each stage."""


def lead_to(stage: Stage) -> bytes:
    return b"".join(text for reached, text in LEADS.items() if reached.rank <= stage.rank)


class Fed:
    """The reader of a serial port without the port."""

    def __init__(self, profile: ConsoleRules | None = None, **watch: Any) -> None:
        self.now = 1000.0
        self.watch = BootWatch(
            Scanner(profile or ConsoleRules()), console_name="ttyS0", clock=lambda: self.now, **watch
        )
        self._normaliser = Normaliser()
        self._lines = Lines()

    def feed(self, *reads: bytes) -> Fed:
        for data in reads:
            self.watch.received(len(data))
            whole = self._lines.feed(self._normaliser.feed(data))
            self.watch.console_text(whole, self._lines.rest)
        return self

    def bytewise(self, data: bytes) -> Fed:
        return self.feed(*(data[at : at + 1] for at in range(len(data))))

    def failure(self, seconds: float = 2.0) -> Finding | None:
        """What the guest has failed of, after so much time in which nothing came."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            try:
                self.watch.check()
            except GuestFailed as failed:
                return failed.finding
        return None

    def outcome(self, seconds: float = 2.0) -> tuple[Any, ...]:
        """All that the watch makes of what it was fed."""
        failure = self.failure(seconds)
        stages = tuple(str(item.stage) for item in self.watch.stages)
        return stages, _shape([failure] if failure else []), _shape(self.watch.findings)


def _shape(findings: Iterable[Finding]) -> list[tuple[Any, ...]]:
    return [(item.rule, item.stage, item.severity, item.cause, item.line, item.context) for item in findings]
