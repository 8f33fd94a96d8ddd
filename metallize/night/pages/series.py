"""The page of one cell: its times by stage and unit, its size and its packages over the nights, and every run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from metallize.night.attempt import READY, Attempt, Cell, run_id
from metallize.night.judging.findings import Finding, Kind, Verdict, day, grouped, lines_of
from metallize.night.judging.judgement import Facts
from metallize.night.outcomes import Outcome, rate_of
from metallize.night.pages.plot import Line, Mark, legend, plot
from metallize.night.pages.signs import LinkOf, outcome_mark
from metallize.night.trends import Trend
from metallize.report.page import Markup, document, element, folded, joined, seconds, section

RUNS = 400
"""So many are in the tables: a year and a month."""
SHOWN = 30
"""So many of them without being asked for: on a phone each is a paragraph."""
OPEN = 5
"""So many findings are open, the others folded."""
UNITS = 6
"""So many services are drawn: those that take longest in the latest nights."""
_STAGES = (READY, "firmware", "loader", "kernel", "initrd", "userspace")
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_MIB = 1 << 20


def page_name(cell: Cell) -> str:
    """The file of a cell's page: what can be read of its name, and what tells it from every other."""
    shown = _SLUG.sub("-", str(cell)).strip("-.")[:60] or "cell"
    return f"{shown}-{run_id(cell.profile, cell.output, cell.machine)[:6]}.html"


def series_page(trend: Trend, findings: Sequence[Finding], facts: Facts, link_of: LinkOf, front: str) -> str:
    """The whole page. `findings` are the cell's own, `front` is where the first page is from here."""
    flaky, failed = (rate_of(trend.nights, outcome) for outcome in (Outcome.FLAKY, Outcome.FAIL))
    facts_of = [
        ("Latest night", day(trend.latest.night)),
        ("It", str(trend.latest.outcome)),
        ("Failed", str(failed)),
        ("Flaky", str(flaky)),
        ("Nights", str(len(trend.nights))),
    ]
    return document(
        f"Metallize: {trend.cell}",
        element("p", element("a", "All cells", href=front), class_="kind"),
        element(
            "header",
            element("h1", outcome_mark(trend.latest.outcome), element("span", str(trend.cell))),
            element("dl", *(element("div", element("dt", name), element("dd", text)) for name, text in facts_of)),
        ),
        judged(findings, "What was judged"),
        _plots(trend, findings, facts),
        section("runs", "Every run", *_runs(trend, link_of)),
    )


def judged(
    findings: Sequence[Finding], heading: str, *, nothing: str = "Nothing is known to have got worse."
) -> Markup | None:
    """What was said of nights, the newest first: the latest that got worse open, all else folded.

    `nothing` is what is said where nothing got worse.
    """
    known = grouped(each for each in findings if each.verdict is not Verdict.YOUNG)
    told = sorted(known, key=lambda each: each.night, reverse=True)
    if not told:
        return None
    shown = [each for each in told if each.alarms][:OPEN]
    worse = [_finding(each) for each in shown]
    rest = [_finding(each) for each in told if each not in shown]
    return section(
        "judged",
        heading,
        element("div", *worse) if worse else element("p", nothing),
        folded(f"{len(rest)} more: earlier, changed, suspected or cleared", *rest) if rest else None,
        class_="failed" if worse else "passed",
    )


def _finding(finding: Finding) -> Markup:
    """Its five lines."""
    _, since, because, evidence, following = (line.strip() for line in lines_of(finding))
    rest = [element("p", element("strong", f"{name} "), text) for name, _, text in
            (line.partition(" ") for line in (since, because, evidence, following))]  # fmt: skip
    return element(
        "div",
        element("p", f"{day(finding.night)}: {finding.verdict}, {finding.kind}, {finding.place}", class_="where"),
        element("p", finding.what[:1].upper() + finding.what[1:], class_="headline"),
        *rest,
        class_="one-cause",
    )


def _plots(trend: Trend, findings: Sequence[Finding], facts: Facts) -> Markup | None:
    passed = [each for night in trend.nights if (each := night.passed) is not None]
    nights = [each.night[:10] for each in passed]
    marks = tuple(_marks(passed, findings))
    stages = [Line(name=name, values=tuple(each.stages.get(name) for each in passed)) for name in _STAGES]
    units = [
        Line(name=_short(name), values=tuple(each.units.get(name) for each in passed)) for name in _slowest(passed)
    ]
    known = [facts(each.sha256) for each in passed]
    sizes = [
        Line(
            name="image",
            values=tuple(each.metrics["size"] / _MIB if "size" in each.metrics else None for each in passed),
        ),
        Line(
            name="rootfs",
            values=tuple(
                each.metrics["rootfs_bytes"] / _MIB if "rootfs_bytes" in each.metrics else None for each in passed
            ),
        ),
    ]
    packages = Line(
        name="packages", values=tuple(len(each.packages) if each and each.packages else None for each in known)
    )
    figures = [
        figure
        for figure in (
            plot("Time by stage", "seconds", nights, stages, marks),
            plot("Services that take longest", "seconds", nights, units),
            plot("Size", "MiB", nights, sizes),
            plot("Packages", "packages", nights, [packages]),
        )
        if figure is not None
    ]
    if not figures:
        return None
    return section(
        "plots",
        "Over the nights",
        element("p", legend(), class_="muted legend"),
        element("div", *figures, class_="plots"),
    )


def _marks(passed: Sequence[Attempt], findings: Sequence[Finding]) -> Iterator[Mark]:
    for at, (before, after) in enumerate(pairwise(passed), start=1):
        if before.series != after.series:
            yield Mark(at=at, value=0.0, kind="anew", text=f"{day(after.night)}: a new baseline: {after.series}")
    kinds = {Verdict.WORSE: "worse", Verdict.SUSPECT: "suspected"}
    by_run = {each.run: (at, each) for at, each in enumerate(passed)}
    for finding in findings:
        if finding.kind is Kind.TIME and finding.verdict in kinds and finding.run in by_run:
            at, attempt = by_run[finding.run]
            value = attempt.stages.get(READY, 0.0)
            yield Mark(at=at, value=value, kind=kinds[finding.verdict], text=f"{day(finding.night)}: {finding.what}")


def _slowest(passed: Sequence[Attempt]) -> list[str]:
    latest: dict[str, float] = {}
    for each in passed[-10:]:
        for name, took in each.units.items():
            latest[name] = max(latest.get(name, 0.0), took)
    return sorted(latest, key=lambda name: -latest[name])[:UNITS]


def _short(unit: str) -> str:
    name = unit.removesuffix(".service").removeprefix("systemd-")
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


_NAME = 12
"""Characters of a name that fit beside a plot."""


def _runs(trend: Trend, link_of: LinkOf) -> Iterator[Markup]:
    attempts = [attempt for night in trend.nights for attempt in night.attempts][: -RUNS - 1 : -1]
    yield _table(attempts[:SHOWN], link_of)
    if earlier := attempts[SHOWN:]:
        yield folded(f"{len(earlier)} earlier", _table(earlier, link_of))


def _table(attempts: Sequence[Attempt], link_of: LinkOf) -> Markup:
    heads = ("Night", "Verdict", "Stage", "Ready", "Host", "Image", "Versions", "Cause")
    lines = [_run(attempt, heads, link_of) for attempt in attempts]
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("table", head, element("tbody", *lines), class_="runs")


def _run(attempt: Attempt, heads: Sequence[str], link_of: LinkOf) -> Markup:
    ready = "-" if attempt.ready_seconds is None else seconds(attempt.ready_seconds)
    versions = {**attempt.versions, **({"qemu": attempt.host.qemu} if attempt.host.qemu else {})}
    told = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    known = f" (known: {attempt.known_issue})" if attempt.known_issue else ""
    host = " ".join(filter(None, (attempt.host.id, attempt.host.accelerator, f"{attempt.host.slowness:.1f}x")))
    texts = (attempt.stage, ready, host, attempt.sha256[:12], told, f"{attempt.reason}{known}")
    link = link_of(attempt)
    word = str(attempt.status)
    verdict = joined(
        outcome_mark(Outcome(attempt.status)), element("a", word, href=link) if link else element("span", word)
    )
    cells = (element("td", text, data_label=head) for head, text in zip(heads[2:], texts, strict=True))
    night = element("th", day(attempt.night), scope="row")
    return element("tr", night, element("td", verdict, data_label="Verdict"), *cells)
