"""One boot of a verification: the running guest, its checklist, and what is known of it so far. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metallize.deadline import Deadline
from metallize.guest import Shell
from metallize.model.report import Entry, Result
from metallize.patience import SESSION_STEPS_GRACE as STEPS_GRACE_SECONDS
from metallize.qemu.argv import COUNTED_SLOWNESS
from metallize.qemu.vm import RunningGuest
from metallize.shells.ssh import SshAccess
from metallize.verify import evidence
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.looks.look import Look
from metallize.verify.looks.observer import Observer
from metallize.verify.request import VerifyRequest
from metallize.verify.task import Task
from metallize.verify.ways_in import WaysIn


@dataclass(slots=True, kw_only=True)
class BootSession:
    """What the phases of one boot share; `ready_seconds` is set when the guest is ready."""

    request: VerifyRequest
    guest: RunningGuest
    deadline: Deadline
    access: SshAccess | None
    turn: Turn
    checklist: Checklist
    from_position: int = 0
    """Where on the console this boot begins."""
    notes: list[str] = field(default_factory=list)
    ready_seconds: float | None = None
    boot_id: str | None = None
    first_look: Look | None = None
    """What the system said of itself when it had settled."""
    rest_seconds: float | None = None
    """When, since power-on, all that was asked had answered; None where it has not come to that."""
    listening: tuple[str, ...] | None = None
    """What the guest listened on at the end of the boot; None where nobody has seen it."""
    steps: Task[int] | None = None
    """The console steps; its value is the position at which they ended."""
    collected: bool = False
    """Whether the guest's own logs are in the folder of this boot."""
    task: Callable[..., Task[Any]] = Task
    observer: Observer = field(init=False)
    ways: WaysIn = field(init=False)

    def __post_init__(self) -> None:
        self.observer = Observer(request=self.request, watch=self.guest.watch, deadline=self.deadline, notes=self.notes)
        self.ways = WaysIn(
            guest=self.guest,
            boot=self.request.boot,
            console=self.request.machine.console,
            access=self.access,
            deadline=self.deadline,
            turn=self.turn,
            checklist=self.checklist,
            observer=self.observer,
            steps_done=self.steps_done,
            task=self.task,
        )

    @property
    def slowness(self) -> float:
        return self.guest.watch.slowness

    @property
    def guest_slowness(self) -> float:
        """By how much the guest's own clock sees it slower than on a host of normal speed."""
        return min(self.slowness, COUNTED_SLOWNESS) if self.guest.plan.counts else self.slowness

    @property
    def boot_seconds(self) -> float:
        """From this boot's power-on or reset until it was ready."""
        stages = self.guest.watch.stages
        return (self.ready_seconds or 0.0) - (stages[0].seconds if stages else 0.0)

    @property
    def results(self) -> tuple[Result, ...]:
        """What became of this boot's own entries."""
        return tuple(each for each in self.checklist.results() if each.id.startswith(f"{self.turn.name}/"))

    def entry(self, id_: str) -> Entry:
        """An entry of this boot. Raises KeyError for one that nobody planned."""
        return self.checklist[f"{self.turn.name}/{id_}"]

    def entries(self, place: str) -> tuple[Entry, ...]:
        """Those of this boot whose ids begin so, in their order."""
        start = f"{self.turn.name}/{place}/"
        return tuple(each for each in self.checklist.entries if each.id.startswith(start))

    def best_shell(self) -> Shell | None:
        """A shell that is logged in, if there is one."""
        return self.ways.best_shell()

    def steps_done(self) -> int:
        """Wait for the console steps; the position at which they ended. Raises GuestFailed."""
        steps = self.steps
        if steps is None:
            return self.from_position
        limit = sum(step.timeout.total_seconds() for step in self.request.boot.steps) * self.slowness
        deadline = Deadline.after(limit + STEPS_GRACE_SECONDS, "the console steps")
        self.guest.watch.wait(lambda: steps.done or None, deadline)
        return steps.value() if steps.done else self.guest.console.position

    def collect(self, shell: Shell) -> None:
        """The guest's own logs, into the folder of this boot: after the verdict, or before what may end the guest."""
        self.collected = True
        password = self.observer.password(shell)
        evidence.collect(shell, self.guest.folder, password=password, slowness=self.slowness)

    def end(self) -> tuple[str, ...]:
        """End what still goes on beside; the names of threads that did not end."""
        tasks = [self.steps] if self.steps is not None else []
        for task in tasks:
            task.join(STEPS_GRACE_SECONDS)
        return (*(task.name for task in tasks if not task.done), *self.ways.end())

    def close(self) -> None:
        """Let go of a guest that is gone."""
        self.ways.close()
