"""With no login declared: what must be seen is what console.require names, or where it names nothing a login prompt."""

from __future__ import annotations

from metallize.guest import GuestFailed
from metallize.model.kind import Claim
from metallize.model.report import Entry, Stage
from metallize.patience import PROMPT_SEEN as SEEN_SECONDS
from metallize.verify.checklist import Turn
from metallize.verify.phases.system import time_is_over
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """One, where nobody logs in: who only types at a menu has seen nothing of the system."""
    if request.has_ways_in:
        return ()
    if request.boot.console.require:
        return (turn.entry("prompt/shown", "the console shows what it must", "console"),)
    return (turn.entry("prompt/shown", "a login prompt is shown", "console"),)


def run(session: BootSession) -> None:
    """Wait for it, then look on for a while. Raises GuestFailed when it does not come."""
    request, watch = session.request, session.guest.watch
    if request.has_ways_in:
        return
    session.steps_done()
    require = request.boot.console.require
    what = "what console.require names" if require else "a login prompt"

    def shown() -> bool | None:
        return True if (not watch.missing if require else watch.stage.rank >= Stage.LOGIN.rank) else None

    if watch.wait(shown, session.deadline) is None:
        said = f"; the console never showed {' and '.join(f'/{each}/' for each in watch.missing)}" if require else ""
        raise GuestFailed(time_is_over(session, f"{what} was not seen{said}"))
    seen = session.ways.patience.limit(SEEN_SECONDS, "what follows")
    watch.wait(lambda: seen() or None, session.deadline)
    session.ready_seconds = watch.seconds
    reached = watch.stage
    watch.reached(Stage.READY)
    note = f"nobody logs in: the image was seen as far as {what} (stage {reached}), and nobody looked further"
    session.notes.append(note)
    claim = Claim(attribute="console", expected=what, actual="seen", holds=True)
    session.checklist.settle(session.entry("prompt/shown").judged(claim, observed="console"))
