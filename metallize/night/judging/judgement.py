"""All nights of a history, judged: pure, so that a rule that was mended judges the nights that were, too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from metallize.night.attempt import Attempt, Cell, Series, Status
from metallize.night.facts import ImageFacts
from metallize.night.judging.differences import SIZE_BUDGET, differences, image_changes
from metallize.night.judging.findings import Finding, Kind, Verdict, day
from metallize.night.judging.pace import Pace, Paced, Pair, told
from metallize.night.judging.times import LEAST_EFFECT, LEAST_NIGHTS, slower_units
from metallize.night.outcomes import CellNight, Outcome, cell_nights
from metallize.night.trends import changes_between

Facts = Callable[[str], ImageFacts | None]
"""What is known of an image, by its digest."""
_SHARE_OF_UNITS = 0.2
"""A service that grew by less of what its stage did explains nothing."""
_EARLIER = 8
"""So many images before are looked at, whether a warning is new."""
_FORGOTTEN = timedelta(days=30)
"""After so long nothing of a cell that is tried no more is kept for its sake."""
_OF_IMAGES = (Kind.SIZE, Kind.PACKAGE)
"""What is said of an image once, and not for each machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a judge goes by that is not in the rules."""

    budgets: Mapping[str, float] = field(default_factory=dict)
    """By how much of itself an image may grow in a night, by the profile's name."""
    released: Mapping[str, str] = field(default_factory=dict)
    """What the releases are called, by the digests of their images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Something that got worse with another image, of which it is to be found out which layer did it."""

    attempt: Attempt
    """The one that showed it."""
    before: str
    """The digest of the last good image."""
    stage: str = ""
    """Of a time: which, `ready` too; empty for a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Everything there is to say, in the order of nights and cells."""

    findings: tuple[Finding, ...] = ()
    wanted: tuple[Pair, ...] = ()
    """The boots that would confirm or clear what is suspected in the last night of each host."""
    sought: tuple[Sought, ...] = ()
    """What got worse in the last night of each host, and may be a layer's fault."""
    compared: frozenset[str] = frozenset()
    """The images that a later night's may be compared with: of each cell on each host the last good one, and those
    behind it that are suspected."""


def judge(attempts: Iterable[Attempt], facts: Facts, terms: Terms | None = None) -> Judgement:
    """Judge every night."""
    return _Judge(tuple(attempts), facts, terms or Terms()).judged()


@dataclass(slots=True)
class _Judge:
    """What is known while the nights go by."""

    attempts: Sequence[Attempt]
    facts: Facts
    terms: Terms
    _paces: dict[Series, Pace] = field(default_factory=dict)
    _before: dict[tuple[Cell, str], CellNight] = field(default_factory=dict)
    """The last night in which something was seen of a cell on a host."""
    _good: dict[Cell, Attempt] = field(default_factory=dict)
    _of_image: dict[tuple[Cell, str], Attempt] = field(default_factory=dict)
    """The last attempt of each image that passed."""
    _images: dict[Cell, list[str]] = field(default_factory=dict)
    """The digests of a cell's images, oldest first, each as often as it came."""
    _known: dict[str, ImageFacts | None] = field(default_factory=dict)
    _wanted: list[Pair] = field(default_factory=list)
    _sought: list[Sought] = field(default_factory=list)
    _layers: dict[str, Attempt] = field(default_factory=dict)
    """The lines that ended the search for a layer, by the runs that it was for."""
    _latest: dict[tuple[Cell, str], tuple[str, Pace]] = field(default_factory=dict)
    """By cell and leading host, the night in which it passed last, and its series."""

    def judged(self) -> Judgement:
        nights = cell_nights(self.attempts)
        boots: dict[str, list[Attempt]] = defaultdict(list)
        for each in self.attempts:
            if each.confirms and not each.cut:
                boots[each.confirms].append(each)
            elif each.cut and not each.status.judges:
                self._layers[each.confirms] = each
        findings: dict[tuple[object, ...], Finding] = {}
        last = nights[-1].night if nights else ""
        for night in nights:
            for finding in self._night(night, boots, last=night.night == last):
                findings.setdefault((finding.night, finding.key, finding.since), finding)
        lasts: dict[str, str] = {}
        for night in nights:
            lasts[night.attempts[0].leader] = night.night
        wanted = tuple(each for each in self._wanted if each.attempt.night == lasts[each.attempt.leader])
        sought = tuple(each for each in self._sought if each.attempt.night == lasts[each.attempt.leader])
        return Judgement(
            findings=tuple(findings.values()), wanted=wanted, sought=sought, compared=self._compared(lasts)
        )

    def _compared(self, lasts: Mapping[str, str]) -> frozenset[str]:
        """A cell that is tried no more is forgotten after a while."""
        known = ((pace, night, lasts[host]) for (_, host), (night, pace) in self._latest.items())
        return frozenset(image for pace, night, last in known if not _long_ago(night, last) for image in pace.compared)

    def _night(self, night: CellNight, boots: Mapping[str, Sequence[Attempt]], *, last: bool) -> Iterator[Finding]:
        yield from self._status(night)
        attempt = night.decisive
        if night.outcome.judges:
            yield from self._sets(night.cell, attempt)
            if last:
                yield from self._against_release(night.cell, attempt)
        if night.outcome.bad or night.passed is None:
            return
        passed = night.passed
        pace = self._paces.setdefault(passed.series, Pace())
        self._latest[night.cell, passed.leader] = (night.night, pace)
        paced = pace.see(passed, boots.get(passed.run, ()))
        if paced is not None:
            if paced.wanted is not None:
                self._wanted.append(paced.wanted)
            if paced.verdict is Verdict.WORSE:
                self._seek(passed, paced.before, paced.stage)
            yield self._time(passed, paced)
        self._good[night.cell] = passed
        self._of_image[night.cell, passed.sha256] = passed

    def _status(self, night: CellNight) -> Iterator[Finding]:
        place = (night.cell, night.attempts[0].leader)
        before = self._before.get(place)
        if night.outcome in (Outcome.MISS, Outcome.SKIP):
            return
        self._before[place] = night
        if not night.outcome.bad:
            return
        attempt = night.decisive
        if before is not None and before.outcome.bad and _alike(before, night):
            return
        hosts = self._passed_elsewhere(attempt)
        if hosts:
            yield self._conflict(attempt, hosts)
            return
        good = self._good.get(night.cell)
        how = {
            Outcome.FLAKY: "failed, and passed when it was booted again: it is flaky",
            Outcome.ERROR: "could not be made",
        }.get(
            night.outcome, "fails in another way than before" if before is not None and before.outcome.bad else "fails"
        )
        if night.outcome is Outcome.FAIL and not night.known_issue and good is not None:
            self._seek(attempt, good.sha256)
        yield Finding(
            kind=Kind.STATUS,
            verdict=Verdict.CHANGED if night.known_issue else Verdict.WORSE,
            night=night.night,
            cell=night.cell,
            run=attempt.run,
            what=f"it {how}: {attempt.reason or 'no reason is known'}",
            subject=attempt.signature or str(attempt.status),
            since=f"the night of {day(good.night)}" if good else "nothing: it has not passed yet",
            causes=self._with_layer(
                attempt, [*([f"stage {attempt.stage}"] if attempt.stage else []), *self._image_causes(good, attempt)]
            ),
            evidence=_folders(good, attempt),
            next_step="metallize logs shows the console; if it is known and may stay for a while: known.yaml",
            known_issue=night.known_issue,
        )

    def _passed_elsewhere(self, attempt: Attempt) -> tuple[Attempt, ...]:
        if attempt.status is not Status.FAIL or not attempt.sha256:
            return ()
        found = {
            each.host.id: each
            for each in self.attempts
            if each.sha256 == attempt.sha256 and each.cell == attempt.cell and each.status is Status.PASS
            and each.host.id != attempt.host.id
        }  # fmt: skip
        return tuple(found.values())

    def _conflict(self, attempt: Attempt, passed: Sequence[Attempt]) -> Finding:
        here, there = attempt.host, passed[0].host
        pairs = (
            ("host", here.id, there.id),
            ("QEMU", here.qemu, there.qemu),
            ("accelerator", here.accelerator, there.accelerator),
            ("processor", here.model, there.model),
        )
        return Finding(
            kind=Kind.CONFLICT,
            verdict=Verdict.CHANGED,
            night=attempt.night,
            cell=attempt.cell,
            run=attempt.run,
            what=f"the same bytes fail on {here.id} and pass on {', '.join(each.host.id for each in passed)}: "
            f"{attempt.reason}",
            subject=f"{here.id} {attempt.signature}",
            since=f"{there.id} in the night of {day(passed[0].night)}",
            causes=tuple(
                f"{name} {one or '-'} here, {other or '-'} there" for name, one, other in pairs if one != other
            ),
            evidence=_folders(passed[0], attempt),
            next_step=f"it is no regression of the image: compare what metallize doctor says on {here.id} and there",
        )

    def _sets(self, cell: Cell, attempt: Attempt) -> Iterator[Finding]:
        """Against the image of the night before, if it is another and both are known."""
        images = self._images.setdefault(cell, [])
        if not attempt.sha256:
            return
        before = images[-1] if images else ""
        if before and before != attempt.sha256:
            earlier = [each for each in dict.fromkeys(images[:-1][::-1]) if each != before][:_EARLIER]
            yield from self._otherwise(cell, attempt, before, "the image of the night before", earlier)
        images.append(attempt.sha256)

    def _against_release(self, cell: Cell, attempt: Attempt) -> Iterator[Finding]:
        known = [each for each in self._images.get(cell, ()) if each in self.terms.released]
        if known and known[-1] != attempt.sha256:
            yield from self._otherwise(cell, attempt, known[-1], self.terms.released[known[-1]], ())

    def _otherwise(
        self, cell: Cell, attempt: Attempt, before: str, since: str, earlier: Sequence[str]
    ) -> Iterator[Finding]:
        old, new = self._fact(before), self._fact(attempt.sha256)
        if old is None or new is None:
            return
        some = [found for each in earlier if (found := self._fact(each)) is not None]
        budget = self.terms.budgets.get(cell.profile, SIZE_BUDGET)
        for each in differences(old, new, cell.machine, budget=budget, earlier=some):
            causes = image_changes(old, new)
            yield Finding(
                kind=each.kind,
                verdict=each.verdict,
                night=attempt.night,
                cell=cell.on("") if each.kind in _OF_IMAGES else cell,
                run=attempt.run,
                what=each.what,
                subject=each.subject,
                since=f"{since} ({before[:12]})",
                causes=causes,
                evidence=_folders(self._good.get(cell), attempt),
                next_step=_NEXT[each.kind],
            )

    def _time(self, attempt: Attempt, paced: Paced) -> Finding:
        if paced.verdict is Verdict.YOUNG:
            return Finding(
                kind=Kind.TIME, verdict=paced.verdict, night=attempt.night, cell=attempt.cell, run=attempt.run,
                what=f"its times are not judged before {LEAST_NIGHTS} nights; this is night {paced.nights + 1}",
                subject=str(attempt.series), since=f"its own series: {attempt.series}",
                causes=(f"another host, accelerator or QEMU begins anew: {attempt.series.host_class}",),
                evidence=_folders(attempt), next_step="nothing: wait",
            )  # fmt: skip
        good = self._of_image.get((attempt.cell, paced.before)) or self._good.get(attempt.cell)
        units = slower_units(
            [each.units for each in paced.boots[0]] or ([good.units] if good else []),
            [each.units for each in paced.boots[1]] or [attempt.units],
            max(LEAST_EFFECT.seconds, _SHARE_OF_UNITS * paced.seconds),
        )
        same = attempt.sha256 == paced.before
        host = f"the host was slower (load {attempt.host.load:.1f}, {attempt.host.concurrency} at once)"
        causes = (
            (f"the image is byte for byte the last good one: {host}",)
            if same
            else self._with_layer(attempt, [f"stage {paced.stage}", *units, *self._image_causes(good, attempt)])
        )
        return Finding(
            kind=Kind.TIME, verdict=paced.verdict, night=attempt.night, cell=attempt.cell, run=attempt.run,
            what=told(paced), subject=paced.stage, since=f"{paced.nights} nights of its series: {attempt.series}",
            causes=causes, evidence=_folders(good, attempt), next_step=_OF_TIMES[paced.verdict],
        )  # fmt: skip

    def _seek(self, attempt: Attempt, before: str, stage: str = "") -> None:
        if before and attempt.sha256 and before != attempt.sha256:
            self._sought.append(Sought(attempt=attempt, before=before, stage=stage))

    def _with_layer(self, attempt: Attempt, causes: Sequence[str]) -> tuple[str, ...]:
        """With what was found of the layer at fault before all else, or behind it why nothing was."""
        line = self._layers.get(attempt.run)
        if line is None:
            return (*causes,)
        if not line.layer:
            return (*causes, f"which layer is not known: {line.reason}")
        return (f"{line.layer} ({line.reason})", *causes)

    def _image_causes(self, before: Attempt | None, after: Attempt) -> tuple[str, ...]:
        """What is otherwise of the image, by its papers if they are known, else by what the attempts say of it."""
        if before is None:
            return ()
        old, new = self._fact(before.sha256), self._fact(after.sha256)
        found = image_changes(old, new) if old is not None and new is not None else ()
        rest = [
            each for each in changes_between(before, after) if not (found and each.startswith(("image ", "kernel ")))
        ]
        return (*found, *rest)

    def _fact(self, sha256: str) -> ImageFacts | None:
        if sha256 not in self._known:
            self._known[sha256] = self.facts(sha256)
        return self._known[sha256]


_NEXT = {
    Kind.UNIT: "metallize logs --file journal.txt says why it failed",
    Kind.PORT: "see which layer or package brought it; if it is meant, assert it with `port` in the profile",
    Kind.SIZE: "metallize diff of both images tells more; a layer that leaves its downloads behind is the usual cause",
    Kind.WARNING: "read the line in console.txt of both runs; if it is harmless it is new only once",
    Kind.PACKAGE: "nothing, if the packages are to be the day's; metallize lock holds them",
}
_OF_TIMES = {
    Verdict.WORSE: "units.txt in both runs says what each service took; boot.time in the profile sets a budget",
    Verdict.SUSPECT: "it is judged once both images have been booted in turn",
    Verdict.CLEARED: "nothing: it was noise",
}


def _long_ago(night: str, last: str) -> bool:
    """Whether nobody waits any more for what comes after a night; not where it is no time."""
    try:
        return datetime.fromisoformat(last) - datetime.fromisoformat(night) > _FORGOTTEN
    except (ValueError, TypeError):
        return False


def _alike(before: CellNight, night: CellNight) -> bool:
    """Whether a bad night says what the one before said: a failure that is known no longer is told again."""
    known = bool(before.known_issue) == bool(night.known_issue)
    return known and before.decisive.signature == night.decisive.signature


def _folders(*attempts: Attempt | None) -> tuple[str, ...]:
    return tuple(each.run_folder for each in attempts if each is not None and each.run_folder)
