"""A healthy guest that answers all that a verification asks, and what may become of its answers on the way.

No machine, no thread and no clock but its own: a verification of it takes a millisecond, whatever it waits for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest import mock

from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import GuestFailed, ShellError, ShellOutput
from metallize.machines import seabios
from metallize.model.assertion import Group
from metallize.model.boot import Boot
from metallize.model.profile import ImageFormat
from metallize.model.report import AcceleratorUse, BootReport, Finding, Result, Severity, Stage, StageTime
from metallize.shells.ssh import SshAccess
from metallize.verify.checklist import FIRST, Checklist, Turn
from metallize.verify.course import Course
from metallize.verify.judge import login_result
from metallize.verify.looks import look, ports
from metallize.verify.looks.batch import Batch, make_batch
from metallize.verify.looks.identity import PROBE as IDENTITY
from metallize.verify.phases import reach
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from tests.unit.verify.bad_answers import Clock, Fault, Line

T = TypeVar("T")
LIMIT_SECONDS = 300.0
"""How long the guest may take until it is ready."""
FOREVER = 1e9

SUITE = """\
file: {/etc/passwd: {exists: true, filetype: file}, /no/such/file: {exists: false}}
user: {root: {exists: true, uid: 0}}
group: {root: {exists: true, gid: 0}}
command: {echo healthy: {exit-status: 0, stdout: [healthy]}}
"""
BOOT = Boot.model_validate(
    {
        "login": {"user": "admin", "password": "admin"},
        "ssh": {"user": "admin", "password": "admin"},
        "reach": {"tcp:22": {"banner": "SSH-2.0"}, "http://:80/": {"status": 200}},
        "console": {"require": ["Welcome"]},
        "time": {"ready": "90s"},
        "reboot": True,
    }
)
_LOOK = (
    "{boot_id}\n",
    "init systemd\nstate running\n",
    "end\n",
    "end\n",
    "end\n",
    "services 21\nend\n",
    "ext4 rw,relatime\n1000 500 500 50% /\n1000 500 500 50% /\nfstab defaults\nend\n",
)
_IDENTITY = "kept ext2/ext3\nmachine-id 0123\nkey ssh_host_ed25519_key.pub AAAA\nend\n"


@dataclass
class HealthyWatch:
    """The watch of a guest that is up; it ends at a moment, if at all."""

    clock: Clock
    ends_at: float = FOREVER
    slowness: float = 1.0
    stage: Stage = Stage.LOGIN
    network_started: bool = True
    flooded: bool = False
    flooded_seconds: float = 0.0
    flooded_bytes: int = 0
    resets: int = 0
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    begun: float = 1000.0
    stages: tuple[StageTime, ...] = (
        StageTime(stage=Stage.QEMU, seconds=0.0),
        StageTime(stage=Stage.LOGIN, seconds=1.0),
    )
    expects_reset: bool = False

    @property
    def seconds(self) -> float:
        return self.clock.now - self.begun

    def check(self) -> None:
        if self.clock.now >= self.ends_at:
            finding = Finding(rule="qemu-ended", stage=self.stage, severity=Severity.FATAL, cause="it ended")
            raise GuestFailed(finding)

    def wait(self, condition: Callable[[], T | None], deadline: Deadline) -> T | None:
        while True:
            self.check()
            value = condition()
            if value is not None or deadline.expired:
                return value
            self.clock.now += max(0.25, min(5.0, deadline.remaining / 2))

    def idle_meter(self) -> Callable[[], float]:
        begun = self.clock.now
        return lambda: self.clock.now - begun

    def reached(self, stage: Stage, seconds: float | None = None) -> None: ...

    def allows(self, _text: str) -> bool:
        return False

    def fail(self, rule: str, cause: str, **_more: object) -> None:
        raise AssertionError(f"{rule}: {cause}")

    def expect_reset(self) -> None:
        self.expects_reset = True

    def drain(self, _deadline: Deadline) -> tuple[str, ...]:
        self.check()
        return ()

    def ending(self) -> None:
        self.ends_at = FOREVER

    def wake(self) -> None: ...

    def check_threads(self) -> None: ...


class InlineTask:
    """A thread that has ended before anybody looks."""

    def __init__(self, name: str, work: Callable[[], Any], _watch: object) -> None:
        self.name = name
        self.done = True
        self.error: BaseException | None = None
        self._value: Any = None
        try:
            self._value = work()
        except (ShellError, GuestFailed) as exc:
            self.error = exc

    def value(self) -> Any:
        if self.error is not None:
            raise self.error
        return self._value

    def join(self, _seconds: float) -> None: ...


@dataclass
class HealthyShell:
    """A shell in which every probe is answered as it should be."""

    name: str
    guest: HealthyGuest
    client: str = ""

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        self.guest.watch.check()
        if deadline.expired:
            raise ShellError("no answer in time")
        batch, probes = self.guest.batches.pop(script)
        mark = batch.boundary
        parts = [f"{mark} start 10.00 0\n{mark} settled 11.00\n"]
        for number, probe in enumerate(probes):
            if number in batch.empty:
                continue
            if "systemctl reboot" in probe:
                self.guest.boots += 1
                self.guest.watch.resets += 1
                continue  # the line may go down before it is answered
            status, text = self.guest.answers(probe)
            said = self.guest.line.take(f"{self.name}: {probe[:40]}", text)
            if said is not None:
                parts.append(f"{said}\n{mark} out {number} {status} 11.00 11.10\n\n{mark} err {number}\n")
        parts.append(f"{mark} end 12.00\n")
        whole = self.guest.line.take(f"{self.name}: the batch", "".join(parts))
        if whole is None:
            self.guest.clock.now = max(self.guest.clock.now, deadline.at)
            raise ShellError("it was lost")
        return ShellOutput(status=0, stdout=whole.encode(errors="replace"))

    def start(self, _deadline: Deadline) -> None: ...

    def close(self) -> None: ...


@dataclass
class HealthyGuest:
    """A machine on which everything holds."""

    line: Line
    watch: HealthyWatch
    clock: Clock
    batches: dict[str, tuple[Batch, tuple[str, ...]]] = field(default_factory=dict)
    forwards: Mapping[int, int] = field(default_factory=lambda: {22: 2222, 80: 8080})
    boots: int = 1

    def __post_init__(self) -> None:
        self.plan = SimpleNamespace(media="disk", web=None, display=False, counts=False)
        self.folder = Path("runs")
        self.console = SimpleNamespace(position=0, alive=True, tail=lambda _lines: (), quiet_seconds=9.0, line="")
        self.monitor = SimpleNamespace(execute=self._execute, version="7.2", person=lambda _line: "")

    def host_port(self, guest_port: int) -> int:
        return self.forwards[guest_port]

    def answers(self, probe: str) -> tuple[int, str]:
        if probe in look.PROBES:
            boot_id = f"{self.boots:08x}-0000-4000-8000-000000000000"
            return 0, _LOOK[look.PROBES.index(probe)].format(boot_id=boot_id)
        fixed = {ports.PROBE: "tcp 00000000:0016\nrange 32768 60999\nend\n", IDENTITY: _IDENTITY}
        return (0, fixed[probe]) if probe in fixed else seen_here(probe)

    def _execute(self, command: str, **_arguments: object) -> object:
        self.watch.check()
        if command != "query-status":
            return {}
        said = self.line.take("qmp", "running")
        if said is None:
            raise HostError("QEMU's monitor did not answer")
        return {"status": said}


@cache
def seen_here(probe: str) -> tuple[int, str]:
    """What a probe prints where it is run: on a healthy machine, this one."""
    done = subprocess.run(["/bin/sh", "-c", probe], capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stdout


@cache
def request(*, with_assertions: bool = True) -> VerifyRequest:
    """What is asked of it."""
    catalog = Catalog()
    suite = Path(__file__).with_name("healthy.yaml")
    return VerifyRequest(
        image=Path("x.img"),
        image_format=ImageFormat.RAW,
        boot=BOOT,
        assertions=load_suite(suite, vocabulary=catalog.vocabulary()) if with_assertions else (),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds=catalog.kinds,
        runs_dir=Path("runs"),
        groups=cast("tuple[Group, ...]", ()),
    )


@dataclass
class _Prepared:
    """A boot whose machine is a value."""

    request: VerifyRequest
    folder: Path = Path("runs")
    limit_seconds: float = LIMIT_SECONDS
    accelerator: AcceleratorUse = field(
        default_factory=lambda: AcceleratorUse(name="tcg", cpu="x", reason="", slowness=1.0, cached=False)
    )

    def session(self, guest: Any, turn: Turn = FIRST, checklist: Checklist | None = None) -> BootSession:
        assert checklist is not None
        return BootSession(
            request=self.request,
            guest=guest,
            deadline=Deadline.after(LIMIT_SECONDS, "the guest to be ready"),
            access=SshAccess(user="admin", password="admin", key=None),
            turn=turn,
            checklist=checklist,
            task=cast("Any", InlineTask),
        )


@contextmanager
def _in_place(guest: HealthyGuest) -> Iterator[None]:
    """The guest's ways in, its network and its clock, instead of real ones."""

    def connect(*_args: object, **_more: object) -> HealthyShell:
        guest.watch.check()
        if guest.line.take("ssh login", "accepted") != "accepted":
            raise ShellError("no SSH server answered")
        return HealthyShell("ssh", guest, client="a client")

    def log_in(*_args: object, suffix: str, results: list[Result], **_more: object) -> HealthyShell | None:
        guest.watch.check()
        wrong = guest.line.take("serial login with a wrong password", "refused")
        right = guest.line.take("serial login", "accepted")
        for title, kind, expected, actual in (
            (f"serial login as admin{suffix} with a wrong password", "login", "refused", wrong),
            (f"serial login as admin{suffix}", "login", "accepted", right),
        ):
            if actual is not None:
                holds = expected == actual
                results.append(login_result(title, kind, expected=expected, actual=actual, holds=holds, seconds=0.0))
        return HealthyShell("serial", guest) if right == "accepted" else None

    def make(probes: Sequence[str], **more: Any) -> Batch:
        more.pop("shared", None)
        batch = make_batch(probes, **more)
        guest.batches[batch.script] = (batch, tuple(probes))
        return batch

    def seen(_guest: object, target: Any, *_more: object, **_named: object) -> Any:
        guest.watch.check()
        said = guest.line.take(f"reach {target.scheme}", "SSH-2.0-x" if target.scheme == "tcp" else "200")
        if said is None:
            return reach.Seen(problem="nothing came")
        return reach.Seen(text=said, status=int(said) if re.fullmatch("[0-9]{3}", said) else 0)

    numbers = count()
    with ExitStack() as stack:
        for name, value in (
            ("time.monotonic", guest.clock),
            # one boundary for each batch, and the same ones in the next verification: expressions are compiled once
            ("metallize.verify.looks.batch.secrets.token_hex", lambda _size: f"{next(numbers):032x}"),
            ("metallize.verify.ways_in.connect", connect),
            ("metallize.verify.ways_in.log_in_on_serial", log_in),
            ("metallize.verify.looks.observer.make_batch", make),
            ("metallize.verify.phases.reboot.make_batch", make),
            ("metallize.verify.phases.reach.look_at", seen),
        ):
            stack.enter_context(mock.patch(name, value))
        yield


def verified(faults: Sequence[Fault] = (), *, ends_after: float = FOREVER) -> tuple[BootReport, Line, Clock]:
    """The report of a verification in which these things happen."""
    clock = Clock()
    line = Line(clock=clock, faults=faults)
    guest = HealthyGuest(line=line, watch=HealthyWatch(clock=clock, ends_at=clock.now + ends_after), clock=clock)
    asked = request()
    for item in asked.assertions:
        seen_here(asked.kinds[item.kind].probe(item.resource, item.options))
    with _in_place(guest):
        course = Course(boot=cast("Any", _Prepared(asked)))
        course.first_boot(cast("Any", guest))
        return course.report(), line, clock
