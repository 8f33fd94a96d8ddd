"""Events in words. Pure."""

from __future__ import annotations

from datetime import timedelta

from metallize.events import Event, Level, Note, Outcome, Overview, Progress, State, StepFinished
from metallize.model.visible import visible

MARKS = {Outcome.DONE: "✓", Outcome.CACHED: "=", Outcome.NOTHING: "-", Outcome.FAILED: "✗"}
_STATES = {Outcome.DONE: "", Outcome.CACHED: " cached", Outcome.NOTHING: " found nothing", Outcome.FAILED: " failed"}


def seconds(value: float) -> str:
    """`0.4 s`, `12.3 s`, `2 m 05 s`."""
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.1f} s"
    return f"{int(value // 60)} m {int(value % 60):02d} s"


def size(value: int) -> str:
    """`812 B`, `1.4 KiB`, `312 MiB`."""
    number = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the next unit
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"  # noqa: PLR2004
        number /= 1024
    return f"{number:.1f} TiB"


def age(value: timedelta) -> str:
    """`12 s`, `5 min`, `3 h`, `2 d`: of a clock that was set back, none."""
    passed = max(value.total_seconds(), 0.0)
    for unit, factor, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if passed < until:
            return f"{passed // factor:.0f} {unit}"
    return f"{passed // 86400:.0f} d"


def needed_by_all(event: Event) -> bool:
    """Whether also somebody who wants to hear as little as possible must be told: a warning, or what failed."""
    if isinstance(event, StepFinished):
        return event.outcome is Outcome.FAILED
    return isinstance(event, Note) and event.level is Level.WARNING


def stage(event: Progress) -> str:
    """How far it is, in words."""
    return f"stage {event.stage}"


def last_time(event: Progress) -> str:
    return "" if event.last_seconds is None else f" (last time {event.last_seconds:.0f} s)"


def left(passed: float, last: float | None) -> str:
    """How long a step goes on if it takes as long as the last time; nothing where that is not known, or over."""
    if last is None or passed >= last:
        return ""
    return f", about {seconds(last - passed)} left"


def finished(event: StepFinished) -> str:
    state = _STATES[event.outcome]
    detail = f" ({event.detail})" if event.detail else ""
    return visible(f"{MARKS[event.outcome]} {event.title}{state} {seconds(event.seconds)}{detail}")


def overview(event: Overview) -> str:
    """`night: 5 of 12 cells, 2 under way, about 9 m 10 s left`."""
    ended = sum(each.state in (State.DONE, State.FAILED) for each in event.lines)
    running = sum(each.state is State.RUNNING for each in event.lines)
    under_way = f", {running} under way" if running else ""
    far = ""
    if event.left_seconds is not None:
        far = f", {'more than' if event.is_least else 'about'} {seconds(event.left_seconds)} left"
    return visible(f"{event.title}: {ended} of {len(event.lines)}{under_way}{far}")


def note(event: Note) -> str:
    return visible(f"{'warning' if event.level is Level.WARNING else 'note'}: {event.text}")
