"""build/report.html: cells over the nights, what fails since when, and how long boots take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metallize.night.attempt import Cell
from metallize.night.history import History
from metallize.night.judging.findings import Finding, day
from metallize.night.outcomes import CellNight, Outcome
from metallize.night.pages.series import judged
from metallize.night.pages.signs import SIGNS, LinkOf, outcome_mark
from metallize.night.trends import Trend, trends
from metallize.report.page import Markup, document, element, joined, mark, section

NIGHTS = 30
"""So many are columns of the matrix; the trend's own table has more."""
_WIDTH, _HEIGHT = 120, 28
_LONG = 24
"""Characters of a name that is kept on one line."""

PageOf = Callable[[Cell], str | None]
"""Where a cell's own page is, seen from this one; None where it has none."""
_LEGEND = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed its verification",
    Outcome.FLAKY: "failed, then passed",
    Outcome.ERROR: "could not be made",
    Outcome.MISS: "the host's fault",
    Outcome.SKIP: "not for this host",
}


def front_page(
    history: History,
    link_of: LinkOf,
    page_of: PageOf = lambda _cell: None,
    findings: Sequence[Finding] = (),
    under_way: str = "",
) -> str:
    """The whole page; pure but for what `link_of` looks up. `findings` are those of the nights that it shows.

    `under_way` is when the night began that has not come to its end, as far as the page tells of it.
    """
    nights = sorted({attempt.night for attempt in history.attempts})
    rows = trends(history.attempts)
    latest = [trend for trend in rows if trend.latest.night == nights[-1]] if nights else []
    bad = [trend for trend in rows if trend.latest.outcome.bad]
    known = sum(bool(trend.latest.known_issue) for trend in bad)
    if len(bad) > known:
        verdict, words = "failed", f"{len(bad) - known} FAILING"
    else:
        verdict, words = "passed", "NOTHING NEW FAILS" if bad else "NOTHING FAILS"
    return document(
        f"Metallize: {len(bad)} of {len(rows)} fail" if len(bad) > known else f"Metallize: {words.lower()}",
        _head(nights, latest, known, verdict, words, under_way),
        _failures(bad, nights, link_of),
        _judged(findings, bad),
        _matrix(rows, nights[: -NIGHTS - 1 : -1], link_of, page_of),
        _unreadable(history),
    )


def _head(
    nights: Sequence[str], latest: Sequence[Trend], known: int, verdict: str, words: str, under_way: str
) -> Markup:
    passed = sum(trend.latest.outcome is Outcome.PASS for trend in latest)
    tried = sum(trend.latest.outcome is not Outcome.SKIP for trend in latest)
    facts = [
        ("Latest night", day(nights[-1]) if nights else "-"),
        ("Passed in it", f"{passed} of {tried}"),
        ("Nights", str(len(nights))),
        *([("Failures that are known", str(known))] if known else []),
        *([("Not at its end", f"the night of {day(under_way)}")] if under_way else []),
    ]
    return element(
        "header",
        element("p", "Metallize nightly", class_="kind"),
        element(
            "h1",
            element("span", mark(verdict), words, class_=f"badge {verdict}"),
            " ",
            element("span", "Images, machines and nights"),
        ),
        element("dl", *(element("div", element("dt", name), element("dd", text)) for name, text in facts)),
    )


def _failures(bad: Sequence[Trend], nights: Sequence[str], link_of: LinkOf) -> Markup | None:
    if not nights:
        return section("cause", "What was seen", element("p", "There is no night yet.", class_="headline"))
    if not bad:
        text = "Everything that was verified passed when it was last verified."
        return section("cause", "What was seen", element("p", text, class_="headline"), class_="passed")
    kind = "passed" if all(trend.latest.known_issue for trend in bad) else "failed"
    return section("cause", "What fails, and since when", *(_failure(trend, link_of) for trend in bad), class_=kind)


def _judged(findings: Sequence[Finding], bad: Sequence[Trend]) -> Markup | None:
    """Of what fails the page tells above."""
    if not bad:
        return judged(findings, "What got worse, and what changed")
    heading = "What else got worse, and what changed"
    return judged(findings, heading, nothing="Nothing else is known to have got worse.")


def _failure(trend: Trend, link_of: LinkOf) -> Markup:
    first, good, latest = trend.first_bad, trend.last_good, trend.latest
    since = [night for night in trend.nights if first is not None and night.night >= first.night and night.outcome.bad]
    when = "every night there is" if good is None else f"{day(first.night)}" if first is not None else ""
    count = f" ({len(since)} night{'s' if len(since) > 1 else ''})"
    before = f"; it passed last on {day(good.night)}" if good is not None else ""
    changed = f". Changed since: {', '.join(trend.changes)}" if trend.changes else ""
    attempt = latest.decisive
    where = f"In stage {attempt.stage}" if attempt.stage else ""
    reason = attempt.reason or "it failed"
    if latest.outcome is Outcome.FLAKY:
        reason = f"{reason}; it passed when it was booted again, which makes it flaky and not good"
    pages = [("the first run that failed", first), ("the latest", latest if latest is not first else None)]
    found = [(words, link) for words, night in pages if night is not None and (link := link_of(night.decisive))]
    links = [
        joined(", " if number else None, element("a", words, href=link)) for number, (words, link) in enumerate(found)
    ]
    return element(
        "div",
        element("p", f"{trend.cell.name} on {trend.cell.machine or 'no machine'}. {where}", class_="where"),
        element("p", reason[:1].upper() + reason[1:], class_="headline"),
        element("p", element("strong", "Known: "), latest.known_issue) if latest.known_issue else None,
        element("p", element("strong", "Failing since: "), when, count, before, changed),
        element("p", "See ", *links) if links else None,
        class_="one-cause",
    )


def _matrix(rows: Sequence[Trend], nights: Sequence[str], link_of: LinkOf, page_of: PageOf) -> Markup | None:
    if not rows:
        return None
    heads = [element("th", text, scope="col") for text in ("Profile", "Machine")]
    heads += [element("th", "Time until ready", scope="col", class_="trend")]
    heads += [element("th", _short_day(night), scope="col", class_="night") for night in nights]
    lines = []
    for number, trend in enumerate(rows):
        same = number > 0 and rows[number - 1].cell.name == trend.cell.name
        by_night = {night.night: night for night in trend.nights}
        regression = trend.first_bad if trend.last_good is not None else None
        cells = [_cell(by_night.get(night), link_of, first=by_night.get(night) is regression) for night in nights]
        shown = element("span", trend.cell.name, class_="muted" if same else None)
        name = element("th", shown, scope="row", class_=_width(trend.cell.name))
        good = "good" if not trend.latest.outcome.bad else None
        lines.append(element("tr", name, _machine(trend, page_of), _sparkline_cell(trend), *cells, class_=good))
    legend = element(
        "p",
        *(joined(outcome_mark(outcome), text, " \N{EN QUAD}") for outcome, text in _LEGEND.items()),
        "Newest night first; a ring marks the night in which something that had passed failed first. "
        "Times are those of a host of normal speed.",
        class_="muted legend",
    )
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *lines), class_="matrix")
    wide = element("div", table, class_="scroll", tabindex="0", role="region", aria_label="Profiles over the nights")
    return section("matrix", "Over the nights", legend, _filter(rows), wide)


def _machine(trend: Trend, page_of: PageOf) -> Markup:
    text = trend.cell.machine or "-"
    page = page_of(trend.cell)
    shown = element("a", text, href=page, aria_label=f"{trend.cell}: its own page") if page else text
    return element("td", shown, class_=_width(text))


def _width(name: str) -> str | None:
    """The class of a cell of the table: a long name is broken into lines."""
    return "long" if len(name) > _LONG else None


def _filter(rows: Sequence[Trend]) -> Markup | None:
    """Which rows are shown: two radio buttons and a rule of the style sheet, since a page runs no script."""
    bad = sum(trend.latest.outcome.bad for trend in rows)
    if not bad or bad == len(rows):
        return None
    return element(
        "fieldset",
        element("legend", "Show"),
        element("label", element("input", type="radio", name="rows", id="rows-all", checked=True), f" all {len(rows)}"),
        element("label", element("input", type="radio", name="rows", id="rows-bad"), f" the {bad} that fail"),
        class_="filter",
    )


def _cell(night: CellNight | None, link_of: LinkOf, *, first: bool) -> Markup:
    if night is None:
        return element("td", element("span", "no run", class_="aloud"), class_="night")
    attempt, word = night.decisive, SIGNS[night.outcome]
    title = f"{day(night.night)}: {word}" + (f", {attempt.reason}" if attempt.reason else "")
    sign = mark(word)
    link = link_of(attempt)
    shown = element("a", sign, href=link, title=title) if link else element("span", sign, title=title)
    late = element("span", "first failure ", class_="aloud") if first else None
    return element("td", late, shown, class_=f"night {word}{' first' if first else ''}")


def _sparkline_cell(trend: Trend) -> Markup:
    times = [normal_ready(night) for night in trend.nights[-NIGHTS:]]
    known = [value for value in times if value is not None]
    if not known:
        return element("td", "-", class_="trend")
    return element("td", sparkline(known), element("span", f" {known[-1]:.1f} s", class_="number"), class_="trend")


def sparkline(values: Sequence[float]) -> Markup:
    """The values as a line without axes, from zero up, the last one as a dot; said in words too."""
    top = max(*values, 0.001) if len(values) > 1 else max(values[0], 0.001)
    step = (_WIDTH - 8) / max(1, len(values) - 1)
    points = [(4 + number * step, _HEIGHT - 4 - (_HEIGHT - 8) * value / top) for number, value in enumerate(values)]
    words = f"ready after {values[-1]:.1f} s; between {min(values):.1f} and {max(values):.1f} s in {len(values)} runs"
    last = points[-1]
    return element(
        "svg",
        element("title", words),
        element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none"),
        element("circle", cx=f"{last[0]:.1f}", cy=f"{last[1]:.1f}", r="3"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=str(_WIDTH),
        height=str(_HEIGHT),
        role="img",
        aria_label=words,
        class_="spark",
    )


def normal_ready(night: CellNight) -> float | None:
    """The time until ready as it would be on a host of normal speed; None where it did not come to that."""
    attempt = night.passed
    if attempt is None or attempt.ready_seconds is None:
        return None
    return attempt.ready_seconds / max(attempt.host.slowness, 0.01)


def _unreadable(history: History) -> Markup | None:
    told = history.told()
    return section("notes", "Notes", element("p", f"{told}.")) if told else None


def _short_day(night: str) -> str:
    return night[5:10]
