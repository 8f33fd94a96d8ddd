"""How far a boot has come: its stages, when something was printed last, and the job that it waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from metallize.console.effort import Idleness
from metallize.console.stages import SILENCE_SECONDS, Job, StageState
from metallize.model.report import Stage, StageTime
from metallize.patience import PROGRESS_LONG_SILENCE as LONG_SILENCE_SECONDS


@dataclass(slots=True)
class Inits:
    """Which init runs. A systemd in the initrd begins as the system's own does, and says only then where it is."""

    in_initrd: bool = False
    """systemd was seen to run in the initrd."""
    switched: bool = False
    """It was seen to hand over."""
    _begun: Counter[str] = field(default_factory=Counter)

    def begins(self, sign: str) -> bool:
        """An init shows that it begins; whether it is the system's own. `sign`: one that each init shows once."""
        self._begun[sign] += 1
        return self.switched or not self.in_initrd or self._begun[sign] > 1

    def welcomed(self, sign: str) -> None:
        """The initrd's showed that sign in words of its own: the next one is the system's."""
        self._begun[sign] += 1


class Course:
    """The course of one guest's boot. It has no clock and no lock: whoever tells it something says when that was."""

    def __init__(self, *, console_name: str, slowness: float, timeout: float, now: float) -> None:
        self._console_name = console_name
        self._slowness = slowness
        self._timeout = timeout
        self.idleness = Idleness()
        self.stages: list[StageTime] = [StageTime(stage=Stage.QEMU, seconds=0.0)]
        self.begun = now
        """When the guest was switched on: the stages' times count from there."""
        self.last_output = now
        self.last_progress = now
        """When it got further: to another stage, or in a job that systemd shows."""
        self.outputs = 0
        self.command_line = ""
        """The kernel's, where it was shown."""
        self.inits = Inits()
        self.display = False
        """Whether the machine has one, of which the run keeps a screenshot."""
        self._received_bytes = 0
        self._job: Job | None = None
        self._job_shown = 0.0

    @property
    def stage(self) -> Stage:
        return self.stages[-1].stage

    def switched_on(self, now: float) -> None:
        self.begun = self.last_output = self.last_progress = now

    def printed(self, now: float, size_bytes: int = 0) -> None:
        """Something came on the console."""
        self.last_output = now
        self.outputs += 1
        self._received_bytes += size_bytes

    def got_on(self, now: float) -> None:
        """It works visibly, within its stage."""
        self.last_progress = now

    def job_shown(self, job: Job | None, now: float) -> None:
        """A job is shown to be running; None: a line that does not say which."""
        self.last_progress = self._job_shown = now
        self._job = job or self._job

    def reach(self, stage: Stage, now: float) -> bool:
        """The stage begins; whether it is a further one."""
        if stage.rank <= self.stage.rank:
            return False
        self.stages.append(StageTime(stage=stage, seconds=max(now - self.begun, self.stages[-1].seconds)))
        self.last_progress = now
        self._job = None
        return True

    @property
    def in_initrd(self) -> bool:
        """Whether systemd is known to run, and to do so in the initrd."""
        return self.stage is Stage.INITRD and self.inits.in_initrd

    def is_in_initrd(self, now: float) -> bool:
        """A systemd says that it is the initrd's, maybe after it was taken for the system's; whether a stage is new."""
        if self.inits.switched or self.stage.rank > Stage.USERSPACE.rank:
            return False
        self.inits.in_initrd = True
        if self.stage.rank < Stage.INITRD.rank:
            return self.reach(Stage.INITRD, now)
        if self.stage is Stage.USERSPACE:
            begun = self.stages.pop().seconds
            if self.stages[-1].stage is not Stage.INITRD:
                self.stages.append(StageTime(stage=Stage.INITRD, seconds=begun))
                return True
        return False

    def begin_again(self, now: float) -> None:
        """The machine was reset, as it may be."""
        self.stages = [StageTime(stage=Stage.QEMU, seconds=now - self.begun)]
        self.command_line = ""
        self.inits = Inits()
        self._job = None
        self.last_output = self.last_progress = now

    def put_back(self, stages: Sequence[StageTime], now: float) -> None:
        """The guest is where it was when these were its stages."""
        self.stages = list(stages)
        self._job = None
        self.last_output = self.last_progress = now

    def state(self, now: float, last_lines: tuple[str, ...]) -> StageState:
        """Where the boot is: what the decision needs of whether it is overdue."""
        quiet = now - self.last_output
        # Only where it makes a difference: this is asked ten times a second, and reads of every thread of QEMU.
        matters = self._slowness > 1 and quiet > LONG_SILENCE_SECONDS and self.stage in SILENCE_SECONDS
        return StageState(
            stage=self.stage,
            lasted=now - self.begun - self.stages[-1].seconds,
            quiet=quiet,
            idle=self.idleness.seconds(self.last_output, now) if matters else 0.0,
            received_bytes=self._received_bytes,
            console=self._console_name,
            slowness=self._slowness,
            timeout=self._timeout,
            job=self._job,
            job_age=now - self._job_shown,
            command_line=self.command_line,
            last_lines=last_lines,
            display=self.display,
        )
