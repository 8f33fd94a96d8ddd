"""One boot from power-on to its end: its phases in their order, each of which plans its entries and settles them."""

from __future__ import annotations

from typing import Protocol

from metallize.model.report import Entry
from metallize.verify.checklist import Turn
from metallize.verify.phases import actions, logins, prompt, reach, refusal, rest, steps, system, times
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


class Phase(Protocol):
    """A part of a boot."""

    def plan(self, request: VerifyRequest, turn: Turn, /) -> tuple[Entry, ...]:
        """The entries that it will settle in this boot; pure."""
        ...

    def run(self, session: BootSession, /) -> None:
        """Settle them, as far as the guest lets itself be seen. Raises GuestFailed."""
        ...


PHASES: tuple[Phase, ...] = (steps, logins, system, prompt, reach, times, actions, rest)
OF_A_REFUSAL: tuple[Phase, ...] = (steps, refusal)
"""Of an image that must be refused nothing else is asked."""


def phases_of(request: VerifyRequest) -> tuple[Phase, ...]:
    """The phases of each boot that is asked for."""
    return PHASES if request.refusal is None else OF_A_REFUSAL


def plan_boot(request: VerifyRequest, turn: Turn) -> tuple[Entry, ...]:
    """Every entry of one boot, in the order in which a report shows them; pure."""
    return tuple(entry for phase in phases_of(request) for entry in phase.plan(request, turn))


def run_boot(session: BootSession) -> None:
    """Go through the whole boot. Raises GuestFailed when the guest fails on the way."""
    for phase in phases_of(session.request):
        phase.run(session)
