"""The pages: what must be on them, that they stand alone, and what the command prints of what got worse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from bench.night import year

from metallize import cli
from metallize.errors import ExitCode
from metallize.night.attempt import Attempt
from metallize.night.facts import facts_folder, write_facts
from metallize.night.history import History, append, history_path
from metallize.night.pages.front import front_page
from metallize.night.pages.plot import Line, Mark, plot
from metallize.night.pages.series import SHOWN, page_name
from metallize.night.pages.site import write_site
from tests.unit.night.attempts import CELL, HOST, attempt, of
from tests.unit.night.test_judging import BEFORE, NEW, OLD, after, quiet, slow
from tests.unit.report.test_page import HOSTILE, assert_stands_alone, parsed


def recorded(folder: Path) -> None:
    """Eleven nights, the last with a slower image in which a unit fails; and one of another cell that fails."""
    attempts = [*quiet(metrics=MappingProxyType({"size": 4e8})), slow(11, 6.0), attempt(11, "FAIL", cell=of("db"))]
    append(history_path(folder), attempts)
    write_facts(facts_folder(folder), BEFORE)
    write_facts(facts_folder(folder), after(seen={"failed": frozenset({"shop.service"})}))


def test_every_cell_has_its_page_and_the_first_leads_there(tmp_path: Path) -> None:
    recorded(tmp_path)
    stale = tmp_path / "nightly/pages/gone-123456.html"
    stale.parent.mkdir()
    stale.touch()
    front = write_site(tmp_path).read_text()
    assert_stands_alone(front)
    assert "The unit shop.service has failed, and had not before" in front
    pages = sorted((tmp_path / "nightly/pages").iterdir())
    assert [page.name for page in pages] == sorted([page_name(CELL), page_name(of("db"))])
    for page in pages:
        assert f'href="./nightly/pages/{page.name}"' in front
        text = page.read_text()
        assert_stands_alone(text)
        assert 'href="./../../report.html"' in text
    text = (tmp_path / "nightly/pages" / page_name(CELL)).read_text()
    root = parsed(text)
    captions = [each.text for each in root.iter("figcaption")]
    assert captions == ["Time by stage, seconds", "Size, MiB", "Packages"]
    assert "suspected" in text
    assert len(root.findall(".//table[@class='runs']/tbody/tr")) == 11


def test_beside_what_fails_nothing_else_is_said_to_be_worse(tmp_path: Path) -> None:
    """A green `nothing got worse` below a red `1 FAILING` was no true word."""
    append(history_path(tmp_path), [*quiet(), attempt(11, sha256=NEW)])
    write_facts(facts_folder(tmp_path), BEFORE)
    write_facts(facts_folder(tmp_path), after(packages={"openssl": "3.0.16-1"}))
    assert "Nothing is known to have got worse." in write_site(tmp_path).read_text()
    append(history_path(tmp_path), [attempt(11, "FAIL", cell=of("db"))])
    text = write_site(tmp_path).read_text()
    assert "What else got worse, and what changed" in text
    assert "Nothing else is known to have got worse." in text
    assert "Nothing is known" not in text


def test_of_many_runs_the_latest_are_open_and_the_others_folded(tmp_path: Path) -> None:
    append(
        history_path(tmp_path), [attempt(n) for n in range(1, 29)] + [attempt(n, cell=of("db")) for n in range(1, 2)]
    )
    text = next((write_site(tmp_path).parent / "nightly/pages").glob("web-*")).read_text()
    assert len(parsed(text).findall(".//details/table[@class='runs']/tbody/tr")) == 0
    later = [
        replace(attempt(n % 28 + 1), night=f"2026-02-{n % 28 + 1:02}T02:00:00+00:00", run=f"r{n}") for n in range(28)
    ]
    append(history_path(tmp_path), later)
    write_site(tmp_path)
    root = parsed(next((tmp_path / "nightly/pages").glob("web-*")).read_text())
    assert len(root.findall(".//section[@id='runs']/table/tbody/tr")) == SHOWN
    assert len(root.findall(".//section[@id='runs']/details/table/tbody/tr")) == 56 - SHOWN
    first = root.find(".//section[@id='runs']/table/tbody/tr/th")
    assert first is not None
    assert (first.text or "").startswith("2026-02-28")


def test_rows_are_chosen_without_a_script(tmp_path: Path) -> None:
    recorded(tmp_path)
    root = parsed(write_site(tmp_path).read_text())
    buttons = root.findall(".//fieldset[@class='filter']/label/input")
    assert [(each.get("type"), each.get("id"), each.get("checked")) for each in buttons] == [
        ("radio", "rows-all", ""), ("radio", "rows-bad", None),
    ]  # fmt: skip
    assert [row.get("class") for row in root.findall(".//table[@class='matrix']/tbody/tr")] == [None, "good"]


def test_a_failure_that_is_known_is_told_and_alarms_nobody() -> None:
    def page(*failed: Attempt) -> str:
        return str(front_page(History(attempts=(attempt(1), *failed)), lambda _attempt: None))

    known = attempt(2, "FAIL", known_issue="own/web#12")
    quiet, loud = page(known), page(known, attempt(2, "FAIL", cell=of("db")))
    assert "<title>Metallize: nothing new fails</title>" in quiet
    assert "NOTHING NEW FAILS" in quiet
    assert "<strong>Known: </strong>own/web#12" in quiet
    assert "<dt>Failures that are known</dt><dd>1</dd>" in quiet
    assert "<title>Metallize: 2 of 2 fail</title>" in loud
    assert "1 FAILING" in loud
    assert "Known: " not in page(attempt(2, "FAIL"))


def test_names_of_pages_are_of_no_other_cell() -> None:
    names = [
        page_name(each)
        for each in (CELL, of("web", "ovmf"), of("web on seabios", ""), of("../..", "x/y"), of("ä", "b"))
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.html", name) for name in names)


def test_hostile_text_stays_text_on_every_page(tmp_path: Path) -> None:
    text = HOSTILE.replace("\x00", "")
    cell = of(text, text, text)
    some = [
        replace(each, cell=cell, units=MappingProxyType({text: 3.0}), versions=MappingProxyType({text: text}))
        for each in (*quiet(), slow(11, 9.0), attempt(12, "FAIL", reason=text, signature=text))
    ]
    append(history_path(tmp_path), [replace(each, host=replace(each.host, model=text, id=text)) for each in some])
    for seen in (BEFORE, after(packages={text: text})):
        write_facts(facts_folder(tmp_path), seen)
    for path in (write_site(tmp_path), *(tmp_path / "nightly/pages").iterdir()):
        assert_stands_alone(path.read_text())


def test_a_plot_says_its_numbers_in_words_and_breaks_where_there_are_none() -> None:
    lines = [
        Line(name="ready", values=(1.0, 2.0, None, 4.0, 3.0)),
        Line(name="one", values=(None, 1.0, None, None, None)),
    ]
    figure = plot("Times", "s", ["a", "b", "c", "d", "e"], lines, [Mark(at=3, value=4.0, kind="worse", text="<slow>")])
    assert figure is not None
    root = parsed(figure)
    svg = root.find("svg")
    assert svg is not None
    assert svg.get("aria-label") == "Times: ready 3 s, between 1 and 4 in 4 nights"
    assert len(root.findall(".//polyline")) == 2
    assert "&lt;slow&gt;" in figure
    assert plot("x", "s", ["a"], [Line(name="x", values=(1.0,))]) is None
    assert plot("x", "s", ["a", "b"], [Line(name="x", values=(0.0, 0.0))]) is not None


def test_another_host_is_marked_on_the_plot(tmp_path: Path) -> None:
    append(history_path(tmp_path), [*quiet(3), slow(4, 5.0, OLD, host=replace(HOST, qemu="9.2.0"))])
    write_site(tmp_path)
    assert (
        "a new baseline: web on seabios (kvm, cpu x2, QEMU 9.2.0)"
        in (tmp_path / "nightly/pages" / page_name(CELL)).read_text()
    )


def test_regressions_are_five_lines_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["regressions", "--build-dir", str(tmp_path)]) == ExitCode.BAD_INPUT
    recorded(tmp_path)
    capsys.readouterr()
    assert cli.main(["regressions", "--build-dir", str(tmp_path)]) == ExitCode.DONE
    said = capsys.readouterr()
    blocks = said.out.strip().split("\n\n")
    assert [len(block.splitlines()) for block in blocks] == [5] * 3
    assert blocks[0].startswith("WORSE  db on seabios: it fails: the kernel panicked\n  since     ")
    assert blocks[1].startswith("WORSE  web on seabios: the unit shop.service has failed")
    assert blocks[2].startswith("SUSPECTED  web on seabios: the stage kernel took 6.00 s, usually 5.1")
    assert "2 worse, 1 to know of, since 2026-01-11 02:00" in said.err


def test_regressions_since_a_day_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(tmp_path)
    argv = ["regressions", "--build-dir", str(tmp_path), "--json", "--since"]
    assert cli.main([*argv, "2026-01-01", "--all"]) == ExitCode.DONE
    *events, result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {each["verdict"] for each in events} == {"worse", "suspected", "too young to judge"}
    assert (result["worse"], result["since"]) == (2, "2026-01-01")
    assert cli.main([*argv, "2026-02-01"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["count"] == 0
    assert cli.main([*argv, "tomorrow"]) == ExitCode.BAD_INPUT


@pytest.mark.slow
def test_a_year_of_nights_is_shown_in_five_seconds(tmp_path: Path) -> None:
    assert year(tmp_path) < 10, "of processor time; scripts/bench --only night holds it to 5"
    for path in (tmp_path / "report.html", *(tmp_path / "nightly/pages").iterdir()):
        assert path.stat().st_size < 2 << 20


def test_the_same_on_several_machines_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machines = ("seabios", "ovmf")
    seen = BEFORE.seen["seabios"]
    bad = replace(seen, failed=frozenset({"shop.service"}))
    write_facts(facts_folder(tmp_path), replace(BEFORE, seen=dict.fromkeys(machines, seen)))
    write_facts(facts_folder(tmp_path), replace(after(), seen=dict.fromkeys(machines, bad)))
    cells = [of("web", each) for each in machines]
    append(
        history_path(tmp_path), [attempt(n, cell=cell, sha256=sha) for n, sha in ((1, OLD), (2, NEW)) for cell in cells]
    )
    assert cli.main(["regressions", "--build-dir", str(tmp_path)]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert said.count("shop.service has failed") == 1
    assert "on ovmf, seabios: the unit shop.service" in said
    assert write_site(tmp_path).read_text().count("unit shop.service has failed") == 1
