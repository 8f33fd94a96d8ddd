"""Profiles, images and goss files as pytest's nodes: a file, below it its targets, below each one item an assertion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from metallize.config import load_suite
from metallize.errors import BootError, MetallizeError, ProfileError, UsageError
from metallize.model.assertion import Assertion
from metallize.model.report import BootReport, Result
from metallize.pytest_plugin.boots import Guests
from metallize.pytest_plugin.judging import (
    REST,
    Check,
    NotHeld,
    Skipped,
    checks_of,
    judge_assertion,
    judge_boot,
    judge_check,
    judge_rest,
)
from metallize.pytest_plugin.targets import Target, entries_of

if TYPE_CHECKING:
    from metallize.config.vocabulary import Vocabulary

GUESTS = pytest.StashKey[Guests]()
"""The guests of this process, in `config.stash`."""


COLLECTED = pytest.StashKey[set[tuple[str, str, str, str]]]()
"""Which assertions of which targets are items already: a suite is collected by itself and named by the profile."""


class Words:
    """A failure as text alone; pytest takes the line of its summary from `reprcrash`, and pytest-xdist the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.reprcrash = SimpleNamespace(message=" ".join(text.split("\n")[:2]))

    def __str__(self) -> str:
        return self._text

    def toterminal(self, tw: Any) -> None:
        for line in self._text.splitlines():
            tw.line(line)


class TargetFile(pytest.File):
    """A profile or an image: what its boots show, and its own assertions."""

    targets: Sequence[Target]

    def collect(self) -> Iterator[pytest.Collector]:
        for target in self.targets:
            node = TargetNode.from_parent(self, name=target.name)
            node.target, node.assertions, node.whole = target, target.assertions, True
            yield node


class GossFile(pytest.File):
    """A goss file: its assertions, on every target.

    Of a suite in a folder boot-tests, a target is asked only what its profile names in `boot.suites`, for a suite may
    be meant for some machines only; named on the command line it is asked of all.
    """

    targets: Sequence[Target]
    vocabulary: Vocabulary
    is_library: bool

    def collect(self) -> Iterator[pytest.Collector]:
        assertions = load_suite(self.path.resolve(), vocabulary=self.vocabulary)
        for target in (target for target in self.targets if not target.refused):
            own = {str(each.location) for each in target.assertions}
            asked = [each for each in assertions if not self.is_library or str(each.location) in own]
            if asked:
                node = TargetNode.from_parent(self, name=target.name)
                node.target, node.assertions, node.whole = target, asked, False
                yield node

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, MetallizeError):
            return str(excinfo.value)  # every problem with its place
        return super().repr_failure(excinfo) if style is None else self._repr_failure_py(excinfo, style)


class TargetNode(pytest.Collector):
    """What is asked of one target."""

    target: Target
    assertions: Sequence[Assertion]
    whole: bool
    """The boot's own items too."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._names: set[str] = set()

    def collect(self) -> Iterator[pytest.Item]:
        if self.whole:
            checks = checks_of(entries_of(self.target))
            yield self._item("boots", judge_boot)
            for check in checks:
                yield self._item(check.name, _Ask(check))
        collected = self.config.stash[COLLECTED]
        for assertion in self.assertions:
            key = (self.target.name, str(assertion.location), assertion.kind, assertion.resource)
            if key in collected:
                continue
            collected.add(key)
            yield self._item(assertion.title, _Ask(assertion), assertion)
        if self.whole:
            item = self._item(REST, lambda _report: ())
            item.judge = _Rest(item, checks)
            yield item

    def _item(self, name: str, judge: Callable[[BootReport], Any], assertion: Assertion | None = None) -> GuestItem:
        if name in self._names and assertion is not None:
            name = f"{name} (line {assertion.location.line})"
        self._names.add(name)
        item = GuestItem.from_parent(self, name=name)
        item.target, item.judge, item.assertion = self.target, judge, assertion
        return item


class GuestItem(pytest.Item):
    """One assertion, or one thing that a boot must show."""

    target: Target
    judge: Callable[[BootReport], Any]
    assertion: Assertion | None

    def setup(self) -> None:
        """What kept the guest from being switched on is an error, and no verdict on the image."""
        try:
            self.config.stash[GUESTS].report(self.target)
        except MetallizeError as exc:
            pytest.fail(words(exc), pytrace=False)

    def runtest(self) -> None:
        report = self.config.stash[GUESTS].report(self.target)
        try:
            results: tuple[Result, ...] = self.judge(report) or ()
        except Skipped as exc:
            pytest.skip(str(exc))
        for result in results:
            self.user_properties.append(("observed", f"over {result.observed} in {result.seconds:.3f} s"))
            if result.note:
                self.add_report_section("call", "note", f"{result.title} {result.note}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotHeld):
            return Words(str(excinfo.value))
        if isinstance(excinfo.value, MetallizeError):
            return Words(words(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        if self.assertion is None:
            return self.path, None, f"{self.target.name}: {self.name}"
        place = self.assertion.location
        return place.path, place.line - 1, f"{self.target.name}: {self.name}"


class _Ask:
    """Looks up one check or one assertion in a report."""

    def __init__(self, what: Check | Assertion) -> None:
        self._what = what

    def __call__(self, report: BootReport) -> tuple[Result, ...]:
        if isinstance(self._what, Check):
            return judge_check(self._what, report)
        return judge_assertion(self._what, report)


class _Rest:
    """Looks at everything that the other collected items do not ask for."""

    def __init__(self, item: GuestItem, checks: Sequence[Check]) -> None:
        self._item = item
        self._checks = checks

    def __call__(self, report: BootReport) -> tuple[Result, ...]:
        items = guest_items(self._item.session.items)
        others = [item.assertion for item in items if item.target is self._item.target and item.assertion is not None]
        judge_rest(report, self._checks, others)
        return ()


def guest_items(items: Sequence[pytest.Item]) -> list[GuestItem]:
    return [item for item in items if isinstance(item, GuestItem)]


def words(exc: MetallizeError) -> str:
    """An error for a person: what failed and the next step."""
    if isinstance(exc, BootError | ProfileError | UsageError):
        return f"{exc.message}\n{exc.hint}" if exc.hint else exc.message
    return f"the machinery broke: {exc.message}" + (f"\n  next: {exc.hint}" if exc.hint else "")
