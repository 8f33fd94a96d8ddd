"""What a running guest offers to those who verify it; nothing here knows QEMU, SSH or a serial port.

The same check runs over any shell, and in a unit test over a recorded transcript.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from metallize.deadline import Deadline
from metallize.model.report import Finding, Stage, StageTime

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellOutput:
    """What a script printed in the guest, and its exit status."""

    status: int
    stdout: bytes
    stderr: bytes = b""


class ShellError(Exception):
    """A shell was lost or did not answer in time; the guest may still be well."""

    reason = "no login"
    """A few words for the verdict's entry: what came instead of a shell. Each kind of error has its own."""


class GuestFailed(Exception):  # noqa: N818 - it says what happened, as a signal to every wait
    """The guest was seen to have failed: raised out of every wait, carrying what was found."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.cause)
        self.finding = finding


class Shell(Protocol):
    """A POSIX shell in the guest, logged in."""

    @property
    def name(self) -> str:
        """How results say what was used: ssh or serial."""
        ...

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        """Run a script with `sh` and return what it printed.

        Raises ShellError when the shell is lost or gives no answer in time.
        """
        ...

    def close(self) -> None: ...


class Console(Protocol):
    """The serial port: what was printed, and a way to type."""

    def write(self, data: bytes) -> None: ...

    @property
    def position(self) -> int:
        """How many characters of clean text have come so far."""
        ...

    def since(self, position: int) -> str:
        """The clean text from a position on; the oldest may be gone when there was very much."""
        ...

    @property
    def line(self) -> str:
        """The last line, as far as it has come: where a prompt stands."""
        ...

    @property
    def quiet_seconds(self) -> float:
        """How long nothing was printed."""
        ...

    def tail(self, lines: int) -> tuple[str, ...]: ...


class Monitor(Protocol):
    """The machine's own control socket."""

    def execute(self, command: str, **arguments: object) -> object: ...


class Watch(Protocol):
    """Looks at everything a guest shows while others wait; a failed guest ends every wait."""

    @property
    def stage(self) -> Stage: ...

    @property
    def stages(self) -> tuple[StageTime, ...]: ...

    @property
    def seconds(self) -> float:
        """Since the machine was switched on."""
        ...

    @property
    def network_started(self) -> bool:
        """Whether the guest has switched its network card on."""
        ...

    @property
    def slowness(self) -> float:
        """How much slower than a normal one the host is."""
        ...

    @property
    def flooded(self) -> bool:
        """Whether so much is printed on the console now that nobody can read a prompt between."""
        ...

    @property
    def flooded_seconds(self) -> float:
        """How long that was so, in all."""
        ...

    @property
    def flooded_bytes(self) -> int:
        """What was printed meanwhile, in all."""
        ...

    def check(self) -> None:
        """Raises GuestFailed when the guest has failed."""
        ...

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        """Wait until the condition gives something else than None, and return it; None when the time is over.

        Raises GuestFailed as soon as the guest is seen to have failed.
        """
        ...

    def idle_meter(self) -> Callable[[], float]:
        """Of the time from now on, the seconds that the guest is known to have spent waiting, whenever that is asked.

        What a guest does not work takes it as long on a slow host as on any other.
        """
        ...

    def reached(self, stage: Stage) -> None:
        """A stage was seen to begin."""
        ...

    def fail(self, rule: str, cause: str, *, remedy: str = "", line: str = "", stage: Stage | None = None) -> None:
        """Something other than a line ended the boot: every wait hears of it; the first that did so counts."""
        ...

    def expect_reset(self) -> None:
        """A reboot has been asked for: the next reset is no failure, and the stages begin anew."""
        ...

    def go_on(self) -> None:
        """What has ended the boot is put by, to see whether it was the end: what comes from now on counts anew."""
        ...

    def drain(self, deadline: Deadline) -> tuple[str, ...]:
        """Wait until nothing is pending that may yet prove to be a failure; what still is at the deadline.

        Raises GuestFailed.
        """
        ...


class Guest(Protocol):
    """A running machine."""

    @property
    def console(self) -> Console: ...

    @property
    def monitor(self) -> Monitor: ...

    @property
    def watch(self) -> Watch: ...

    def host_port(self, guest_port: int) -> int:
        """The port of 127.0.0.1 that leads to a port of the guest."""
        ...
