"""The logins that the profile declares: begun here, beside each other; they are settled when the first has looked."""

from __future__ import annotations

from metallize.model.report import Entry
from metallize.verify import ways_in
from metallize.verify.checklist import Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


def plan(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """One for each, and one for a wrong password."""
    return ways_in.plan(turn, request.boot)


def run(session: BootSession) -> None:
    """Begin them."""
    session.ways.begin()
