"""What every build and boot of a night is made with, and what was done so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from metallize import pipeline
from metallize.build.engines.engine import Engine
from metallize.build.secrets.given import Given
from metallize.catalog import Catalog
from metallize.errors import BugError, CommandError, EngineError, HostError, LayerError, MetallizeError
from metallize.events import Events, Level, Note
from metallize.model.report import BootReport
from metallize.night import history
from metallize.night.attempt import Attempt, Cell, Host, Status
from metallize.night.course.journal import Journal
from metallize.night.gather import Night
from metallize.night.history import history_path
from metallize.night.known import Known, with_known

Seen = Callable[[Attempt, BootReport | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """One night under way."""

    catalog: Catalog
    engine: Engine
    events: Events
    options: pipeline.Options
    night: Night
    journal: Journal
    known: Mapping[str, tuple[Known, ...]]
    """The failures that are known, by the profiles' names."""
    seen: Seen
    idle: set[Given]
    """What is lent to layers and was mounted by none so far."""
    attempts: list[Attempt] = field(default_factory=list)
    """All of this night on this host, those too that were made before it was interrupted."""

    @property
    def build_dir(self) -> Path:
        return self.options.build_dir or Path("build")

    def of(self, cell: Cell) -> list[Attempt]:
        """What was tried of a cell in this night, boots in turn left out."""
        return [each for each in self.attempts if each.cell == cell and not each.confirms]

    def add(self, made: Attempt, report: BootReport | None) -> Attempt:
        """Write an attempt down, and tell of it."""
        attempt = with_known(made, self.known.get(made.cell.profile, ()), datetime.now(UTC).date())
        history.append(history_path(self.build_dir), [attempt])
        self.attempts.append(attempt)
        self.events.emit(Note(text=line_of(attempt), level=Level.WARNING if attempt.bad else Level.INFO))
        self.seen(attempt, report)
        return attempt

    def nothing(self, cell: Cell, status: Status, stage: str, exc: MetallizeError, host: Host | None = None) -> Attempt:
        """Write down that it did not come to a boot, on the host that was to make it: else the night's own."""
        text = exc.message.strip()
        reason = text.splitlines()[0] if text else type(exc).__name__
        started = datetime.now(UTC).isoformat(timespec="seconds")
        number = len(self.of(cell)) + 1
        said = {} if host is None else {"host": host}
        made = self.night.attempt(
            cell, number, status, stage=stage, reason=reason, signature=stage, started=started, **said
        )
        return self.add(made, None)


def fault_of(exc: MetallizeError) -> Status:
    """Whose fault it is that there was nothing to boot: a layer that does not build is the profile's."""
    if isinstance(exc, EngineError | HostError | CommandError | BugError) and not isinstance(exc, LayerError):
        return Status.MISS
    return Status.ERROR


def line_of(attempt: Attempt) -> str:
    """An attempt in a line."""
    if attempt.cut and not attempt.status.judges:
        found = f"at fault is {attempt.layer}" if attempt.layer else "which layer is at fault is not known"
        return f"nightly: {attempt.cell} got worse, and {found}: {attempt.reason}"
    if attempt.confirms and not attempt.status.judges:
        return f"nightly: {attempt.cell} is suspected to be slower, and unconfirmed: {attempt.reason}"
    times = f", ready after {attempt.ready_seconds:.1f} s" if attempt.ready_seconds is not None else ""
    reason = f": {attempt.reason}" if attempt.reason else ""
    number = f" at attempt {attempt.attempt}" if attempt.attempt > 1 else ""
    if attempt.confirms:
        number = f" at boot {attempt.attempt} in turn, of {attempt.sha256[:12]}"
    if attempt.cut:
        number = f" at a boot to find the layer at fault, of {attempt.sha256[:12]} at cut {attempt.cut}"
    known = f" (known: {attempt.known_issue})" if attempt.known_issue else ""
    return f"nightly: {attempt.cell} {attempt.status}{number}{reason}{known}{'' if attempt.bad else times}"
