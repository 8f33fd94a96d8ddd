"""One assertion of a profile or a suite, decoded and with its place; the checks decide if it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from metallize.errors import Location
from metallize.model.kind import ResourceOptions, Retry, Retrying
from metallize.model.scalars import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One resource to check: its kind, its id, its attributes and the place in the profile or suite that says so."""

    kind: str
    resource: str
    options: ResourceOptions
    location: Location
    action: int | None = None
    """After which of boot.actions it is observed; None: when the guest is ready."""

    @property
    def title(self) -> str:
        return self.options.title or f"{self.kind} {self.resource}"

    @property
    def skip(self) -> bool:
        """Whether the profile says to leave it out; it is reported as skipped."""
        return self.options.skip

    @property
    def retry(self) -> Retry:
        """How often to observe it again while it does not hold."""
        if not isinstance(self.options, Retrying):
            return Retry()
        delay = self.options.retry_delay
        if isinstance(delay, str) and not delay.isdigit():
            return Retry(count=self.options.retry_count, delay=parse_duration(delay))
        return Retry(count=self.options.retry_count, delay=timedelta(milliseconds=int(delay)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One of boot.groups: what is done to a ready guest, and what must hold then; the guest is put back afterwards."""

    name: str
    run: tuple[str, ...]
    """Commands for the guest's shell, each of which must end with status 0."""
    assertions: tuple[Assertion, ...]
    location: Location
