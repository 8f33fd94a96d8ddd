"""The tables of a run's page: its stages on a time line, and its assertions."""

from __future__ import annotations

from collections.abc import Sequence

from metallize.model.report import BootReport, Result, Stage, StageTime, Status
from metallize.report.page import Markup, element, folded, mark, seconds, section

_VERDICTS = {Status.HELD: "passed", Status.FAILED: "failed", Status.SKIPPED: "skipped", Status.UNSEEN: "unseen"}


def stage_table(report: BootReport) -> Markup:
    """The stages on a time line from power-on to the verdict, and those that were never reached."""
    end = max(report.seconds, report.stages[-1].seconds if report.stages else 0.0, 0.001)
    failed_in = None if report.passed or report.failure is None else report.stage
    until = dict(zip(report.stages, [item.seconds for item in report.stages[1:]] + [end], strict=False))
    begun = {item.stage: item for item in report.stages}
    rows = []
    for stage in Stage:
        item = begun.get(stage)
        if item is not None:
            rows.append(_stage_row(item, until[item], end, failed=stage is failed_in))
        elif stage is not Stage.QEMU:
            never = "not seen" if stage.rank < report.stage.rank else "not reached"
            cells = (element("td"), element("td", never, colspan="2"))
            rows.append(element("tr", element("th", stage, scope="row"), *cells, class_="never"))
    slowness = report.accelerator.slowness
    speed = "This host runs guests at normal speed."
    if slowness > 1:
        speed = (
            f"This host measured {slowness:.1f} times slower than one of normal speed: {seconds(end)} here are about "
            f"{seconds(end / slowness)} there."
        )
    heads = (element("th", text, scope="col") for text in ("Stage", "Time line", "Began at", "Took"))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="stages")
    return section("stages", "Stages", element("p", speed, class_="muted"), table)


def _stage_row(item: StageTime, until: float, end: float, *, failed: bool) -> Markup:
    begun = 100 * item.seconds / end
    width = max(0.4, 100 * (until - item.seconds) / end)
    bar = element("span", class_="bar", style=f"margin-left:{min(begun, 99.6):.2f}%;width:{width:.2f}%")
    return element(
        "tr",
        element("th", mark("failed") if failed else None, item.stage, scope="row"),
        element("td", element("span", bar, class_="track"), aria_hidden="true"),
        element("td", seconds(item.seconds), class_="number"),
        element("td", seconds(until - item.seconds), class_="number"),
        class_="failed" if failed else None,
    )


def assertion_tables(results: Sequence[Result]) -> Markup | None:
    """Those that do not hold first, those that do folded beside them."""
    if not results:
        return None
    failed = [result for result in results if not result.holds]
    failed.sort(key=lambda result: result.status is Status.UNSEEN)
    good = [result for result in results if result.holds]
    parts: list[Markup] = []
    if failed:
        parts.append(_table(failed))
    if good:
        table = _table(good)
        words = f"{len(good)} that hold{'s' if len(good) == 1 else ''}"
        parts.append(folded(words, table, open_=not failed))
    return section("assertions", "Checks", *parts)


def _table(results: Sequence[Result]) -> Markup:
    heads = ("Check", "Expected", "Found", "Seen over", "Seconds")
    head = element("thead", element("tr", *(element("th", text, scope="col") for text in heads)))
    return element("table", head, *(_rows(result) for result in results), class_="assertions")


def _rows(result: Result) -> Markup:
    """A group of rows: one for each claim, the assertion's own cells beside the first."""
    claims = sorted(result.claims, key=lambda claim: claim.holds)
    verdict = _VERDICTS[result.status]
    title = element(
        "th",
        mark(verdict),
        element("strong", result.title),
        element("span", result.location, class_="muted place") if result.location else None,
        element("span", result.note, class_="note") if result.note else None,
        scope="rowgroup",
        rowspan=str(max(1, len(claims))),
    )
    last = (
        element("td", result.observed or "-", rowspan=str(max(1, len(claims))), data_label="Seen over"),
        element(
            "td",
            f"{result.seconds:.2f}" if result.seconds else "-",
            rowspan=str(max(1, len(claims))),
            data_label="Seconds",
            class_="number",
        ),
    )
    rows = []
    for number, claim in enumerate(claims):
        wrong = None if claim.holds else "wrong"
        note = element("span", claim.note, class_="note") if claim.note else None
        words = (f"{claim.attribute}: ", element("span", claim.expected, class_="value")) if claim.expected else ()
        cells = (
            element("td", *words, data_label="Expected"),
            element("td", element("span", claim.actual, class_="value"), note, data_label="Found", class_=wrong),
        )
        rows.append(element("tr", title, *cells, *last) if number == 0 else element("tr", *cells))
    if not rows:
        rows.append(element("tr", title, element("td"), element("td"), *last))
    return element("tbody", *rows, class_=verdict)
