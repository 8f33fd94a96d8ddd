"""nightly: who is told of a night, and of one that did not come."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metallize.commands.saying import err
from metallize.commands.shared import renderer_of, settings_of
from metallize.errors import ExitCode, UsageError
from metallize.events import Events
from metallize.model.visible import visible
from metallize.night import history as histories
from metallize.night.attempt import Attempt
from metallize.night.course.journal import unfinished
from metallize.night.judging.judgement import Judgement
from metallize.night.telling.delivery import VARIABLE, Apprise, addresses_of
from metallize.night.telling.digest import items_of, missed
from metallize.night.telling.told import Deliver, tell


def deliverer() -> Deliver | None:
    """Who tells people; None where nobody is to be told. Raises UsageError or HostError where that cannot be."""
    addresses = addresses_of(os.environ.get(VARIABLE, ""))
    return Apprise(addresses) if addresses else None


def tell_of_night(
    build_dir: Path,
    attempts: Sequence[Attempt],
    judgement: Judgement,
    advised: Sequence[str],
    night: str,
    deliver: Deliver,
    events: Events,
) -> None:
    """One digest, where something is new."""
    digest = tell(build_dir, items_of(judgement.findings, attempts, advised, night), night, deliver, events)
    if digest is not None:
        err(f"told: {digest.title}")


def late(options: argparse.Namespace) -> int:
    """`metallize nightly --late HOURS`: the status is 3 where no night has come for so long; it is told once."""
    build_dir = settings_of(options).build_dir or Path("build")
    deliver = deliverer()
    now = datetime.now(UTC)
    history = histories.read(histories.history_path(build_dir)).until(now)
    if history.ahead:
        err(f"note: {history.told()}")
    if not history.attempts and history.ahead:
        return ExitCode.MACHINERY
    if not history.attempts:
        raise UsageError(
            f"there is no history in {histories.history_path(build_dir)}",
            hint="metallize nightly makes the first night of it",
        )
    item = missed(history.attempts, now, timedelta(hours=options.late), unfinished(build_dir))
    if item is None:
        return ExitCode.DONE
    err(visible(item.text))
    if deliver is not None:
        with renderer_of(options) as renderer:
            tell(build_dir, [item], item.night, deliver, renderer)
    return ExitCode.MACHINERY
