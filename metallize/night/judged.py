"""A build folder's history, judged: what its index and what is known of its images say together."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from metallize.night import index
from metallize.night.facts import facts_folder, read_facts
from metallize.night.history import History
from metallize.night.judging.judgement import Judgement, Terms, judge


def judged(build_dir: Path, terms: Terms | None = None) -> tuple[History, Judgement]:
    """Everything that was tried until now, and what is to be said of it. Raises HostError where it cannot be read."""
    with index.opened(build_dir) as opened:
        history = opened.history().until(datetime.now(UTC))
    return history, judge(history.attempts, partial(read_facts, facts_folder(build_dir)), terms)
