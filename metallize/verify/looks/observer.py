"""Looks at the guest through a shell: probes in one round trip, and the assertions judged by what they print."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from metallize.deadline import Deadline
from metallize.guest import Shell, ShellError, Watch
from metallize.model.assertion import Assertion
from metallize.model.kind import Observation
from metallize.model.report import Entry, Result
from metallize.patience import OBSERVER_LONGEST_PAUSE as LONGEST_PAUSE_SECONDS
from metallize.patience import OBSERVER_RETRY as RETRY_SECONDS
from metallize.verify.judge import judge_assertion
from metallize.verify.looks.batch import Batch, BatchResult, SharedProbe, make_batch, read_batch
from metallize.verify.patience import GuestSpan
from metallize.verify.request import VerifyRequest


@dataclass(slots=True, kw_only=True)
class Observer:
    """Whoever has a shell hands it in; `notes` grows with what a person should know of."""

    request: VerifyRequest
    watch: Watch
    deadline: Deadline
    """When the guest must be ready; a round trip may take its own time beyond."""
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    """What the shell said when it was lost last."""

    def run(
        self,
        shell: Shell,
        probes: Sequence[str],
        *,
        shared: Sequence[SharedProbe] = (),
        beside: Collection[int] = (),
        settle_seconds: float = 0,
        limit_seconds: float | None = None,
    ) -> BatchResult:
        """One round trip; what was not answered is None in the result. Raises GuestFailed.

        It may take `limit_seconds`, on a host of normal speed, or else a minute beyond what the guest has to be ready.

        Of what a shared probe says nothing, the probe itself is asked, in a second one.
        """
        slowness, password = self.watch.slowness, self.password(shell)
        batch = make_batch(
            probes,
            password=password,
            settle_seconds=settle_seconds,
            slowness=slowness,
            shared=shared,
            beside=beside,
        )
        answer = self._ask(shell, batch, settle_seconds, limit_seconds)
        covered = sorted(number for each in shared for number in each.numbers.values())
        left = [number for number in covered if answer.observations[number] is None]
        if not left or not answer.complete:
            return answer
        again = make_batch([probes[number] for number in left], password=password, slowness=slowness)
        found = dict(zip(left, self._ask(shell, again).observations, strict=True))
        seen = tuple(found.get(number, known) for number, known in enumerate(answer.observations))
        return replace(answer, observations=seen)

    def _ask(
        self, shell: Shell, batch: Batch, settle_seconds: float = 0, limit_seconds: float | None = None
    ) -> BatchResult:
        limit = Deadline.after(
            settle_seconds + 60 * self.watch.slowness + self.deadline.remaining
            if limit_seconds is None
            else limit_seconds * self.watch.slowness,
            "the assertions' probes",
        )
        try:
            return read_batch(batch, shell.run(batch.script, limit).stdout)
        except ShellError as exc:
            self.notes.append(f"the assertions' probes were cut short: {exc}")
            self.problem = str(exc)
            return replace(read_batch(batch, b""), problem=self.problem)

    def password(self, shell: Shell) -> str | None:
        """What sudo may ask for: the password of whoever is logged in."""
        boot = self.request.boot
        if shell.name == "ssh" and boot.ssh is not None and boot.ssh.password is not None:
            return boot.ssh.password
        return boot.login.password if boot.login is not None else None

    def probes(self, assertions: Sequence[Assertion]) -> list[str]:
        """The snippets of those that are not skipped, in their order."""
        kinds = self.request.kinds
        return [kinds[item.kind].probe(item.resource, item.options) for item in assertions if not item.skip]

    def aside(self, assertions: Sequence[Assertion], first: int = 0) -> list[int]:
        """Which of `probes` may run beside others; their own begin with the number `first`."""
        asked = (item for item in assertions if not item.skip)
        return [number for number, item in enumerate(asked, first) if self.request.kinds[item.kind].aside]

    def shared(self, assertions: Sequence[Assertion], first: int = 0) -> list[SharedProbe]:
        """Probes that look at several of them at once; their own begin with the number `first`."""
        by_kind: dict[str, list[tuple[int, Assertion]]] = {}
        asked = (item for item in assertions if not item.skip)
        for number, item in enumerate(asked, first):
            by_kind.setdefault(item.kind, []).append((number, item))
        made = []
        for kind, items in by_kind.items():
            survey = self.request.kinds[kind].survey([(item.resource, item.options) for _, item in items])
            if survey is not None:
                pairs = zip(survey.keys, items, strict=True)
                numbers = {key: number for key, (number, _) in pairs if key is not None}
                made.append(SharedProbe(script=survey.script, numbers=numbers, rootless=survey.rootless))
        return made

    def assertions(self, shell: Shell, entries: Sequence[Entry], assertions: Sequence[Assertion]) -> list[Result]:
        """Observe and judge them in one round trip; those that do not hold are looked at again. Raises GuestFailed."""
        probes, shared, aside = self.probes(assertions), self.shared(assertions), self.aside(assertions)
        answer = self.run(shell, probes, shared=shared, beside=aside)
        return self.judged(shell, entries, assertions, answer.observations)

    def judged(
        self,
        shell: Shell,
        entries: Sequence[Entry],
        assertions: Sequence[Assertion],
        observations: Sequence[Observation | None],
    ) -> list[Result]:
        """Results from the observations of `probes`; those that do not hold are looked at again for a short time.

        A service that has just been started may need a moment. As long as the longest of their own retries, where they
        declare some: on a host of normal speed, and of a guest that only waits on any host. Raises GuestFailed.
        """
        remaining = iter(observations)
        judged = [
            self._judge(shell, entry, item, None if item.skip else next(remaining))
            for entry, item in zip(entries, assertions, strict=True)
        ]
        failing = (item.retry for item, result in zip(assertions, judged, strict=True) if not result.holds)
        span = max((retry.count * retry.delay.total_seconds() for retry in failing), default=0)
        patience = GuestSpan(self.watch, max(RETRY_SECONDS, span), "assertions that do not hold yet")
        begun = time.monotonic()
        pause, took = 1.0, 0.0
        # A look may take long (sudo waits for a name server that does not answer): none is begun that would end late.
        while patience.deadline.remaining > pause + took and not patience.over and not self.deadline.expired:
            again = [number for number, result in enumerate(judged) if not result.holds]
            if not again:
                break
            self.watch.wait(lambda: None, Deadline.after(pause, "a moment"))
            pause = min(pause + 1.0, LONGEST_PAUSE_SECONDS)
            looked = time.monotonic()
            items = [assertions[number] for number in again]
            answer = self.run(shell, self.probes(items))
            for number, item, observation in zip(again, items, answer.observations, strict=True):
                result = self._judge(shell, entries[number], item, observation)
                if result.holds:
                    note = f"held only {time.monotonic() - begun:.0f} s after the system had settled"
                    result = replace(result, note=note)
                judged[number] = result
            took = time.monotonic() - looked
        return judged

    def _judge(self, shell: Shell, entry: Entry, item: Assertion, observation: Observation | None) -> Result:
        kind = self.request.kinds[item.kind]
        return judge_assertion(entry, item, kind, observation, observed=shell.name, problem=self.problem)
