"""report.html and the history's page: what must be on them, and that nothing a guest prints gets out of its place."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.model.kind import Claim
from metallize.model.report import BootReport, Finding, Result, Severity, Stage, StageTime, Status
from metallize.model.visible import visible
from metallize.report.page import element
from metallize.report.run_folder import Console, ConsoleLine, RunFolder, read_console, read_run_folder
from metallize.report.run_page import run_page
from tests.laws import cases
from tests.unit.report.test_report import FAILED, FAILS, PASSED

HOSTILE = "\"'></pre></script><script>alert(1)</script><img src=x onerror=alert(2)><!-- ]]> &lt; \u202e\x00\x1b[31m"
SCRIPT = "<scr" + "ipt"


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser's parser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def parsed(page: str) -> ET.Element:
    """The page as XML: it is well-formed, or this raises."""
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own


def hostile_report(text: str = HOSTILE) -> tuple[BootReport, RunFolder]:
    """A failed report in which every text that a guest or a profile can choose is the given one."""
    finding = Finding(
        rule="x", stage=Stage.KERNEL, severity=Severity.FATAL, cause=text, remedy=text, line=text, context=(text, "b"),
        seconds=1.0,
    )  # fmt: skip
    result = Result(
        id="x", title=text, kind="file", phase="assert", status=Status.FAILED, observed=text, location=text, note=text,
        claims=(Claim(attribute=text, expected=text, actual=text, holds=False, note=text),),
    )  # fmt: skip
    report = replace(
        FAILED,
        image=Path("build") / (text.replace("/", "").replace("\x00", "") or "x"),
        failure=finding,
        findings=(
            replace(finding, severity=Severity.FAULT, cause=text + "1"),
            replace(finding, severity=Severity.WARNING),
        ),
        results=(result, replace(result, status=Status.HELD), replace(result, status=Status.UNSEEN, claims=())),
        console_tail=(text,),
        notes=(text,),
        qemu=text,
    )
    lines = (ConsoleLine(seconds=0.5, text=text), ConsoleLine(seconds=1.0, text=text), ConsoleLine(seconds=2, text="b"))
    folder = RunFolder(
        console=Console(head=lines, tail=lines, left_out_bytes=5000),
        screenshot=b"\x89PNG...",
        texts=(("units.txt", text), ("initramfs.txt", text)),
        argv=("qemu", text),
        files=(("console.txt", 1), ("units.txt", 2)),
    )
    return report, folder


def assert_stands_alone(page: str) -> None:
    """Well-formed, no script, nothing fetched, no element that a page of ours has not."""
    parsed(page)
    allowed = {
        "html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "p", "div", "dl",
        "dt", "dd", "span", "strong", "em", "code", "pre", "mark", "a", "ul", "li", "details", "summary", "figure",
        "figcaption", "table", "thead", "tbody", "tr", "th", "td", "img", "svg", "polyline", "circle",
        "g", "line", "path", "text", "fieldset", "legend", "label", "input",
    }  # fmt: skip
    for tag, attributes in Tags(page).found:
        assert tag in allowed
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert (tag, name) != ("input", "type") or value == "radio", "it chooses what is shown, and sends nothing"
            if name in {"href", "src"}:
                assert value is not None
                assert value.startswith(("#", "./", "data:image/png;base64,")), value
    assert "url(" not in page.partition("</style>")[0]
    assert "@import" not in page
    assert "Content-Security-Policy" in page


def test_a_hostile_guest_stays_text() -> None:
    report, folder = hostile_report()
    page = run_page(report, folder)
    assert_stands_alone(page)
    assert SCRIPT not in page
    assert "\u202e" not in page
    assert "\\u202e" in page  # it is shown, not dropped
    assert "\x1b" not in page


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
@settings(max_examples=cases(60), deadline=None)
def test_whatever_a_guest_prints_the_page_is_well_formed(text: str) -> None:
    report, folder = hostile_report(text)
    assert_stands_alone(run_page(report, folder))


@given(st.text(max_size=50))
def test_a_text_keeps_what_can_be_seen(text: str) -> None:
    shown = visible(text)
    assert re.sub(r"\\u[0-9a-f]{4,6}", "", shown) == shown or "\\u" in shown
    assert visible(shown) == shown
    node = parsed("<!DOCTYPE html>\n" + element("p", text, title=text))
    assert (node.text or "") == shown


def test_the_cause_of_a_failure_comes_first() -> None:
    lines = (ConsoleLine(seconds=2.5, text="[ 2.3] Kernel panic - not syncing: no init\x01"),)
    page = run_page(FAILED, RunFolder(console=Console(head=lines)))
    text = "".join(parsed(page).itertext())
    order = [
        "FAILED",
        "x.iso on seabios",
        "In stage kernel",
        "The kernel panicked: no init",
        "What to do",
        "service ssh",
    ]
    places = [text.index(words, text.index("Metallize boot report")) for words in order]
    assert places == sorted(places)
    assert 'href="#line-0"' in page
    assert 'id="line-0"' in page
    assert "running: expected true, found false" in text


def test_failed_assertions_are_first_and_say_expected_found_and_how() -> None:
    page = parsed(run_page(FAILED, RunFolder()))
    section = page.find(".//section[@id='assertions']")
    assert section is not None
    [failed, good] = section.findall(".//table")
    assert section.findall("details/table") == [good]
    cells = ["".join(cell.itertext()) for cell in failed.findall("tbody/tr/*")]
    assert "service ssh" in cells[0]
    assert "profiles/x.yaml:9:5" in cells[0]
    assert cells[1:4] == ["running: true", "falsestate: failed", "ssh"]


def test_an_assertion_without_a_boots_failure_is_the_headline() -> None:
    report = replace(FAILED, failure=None)
    text = "".join(parsed(run_page(report, RunFolder())).itertext())
    assert "1 of 2 checks does not hold" in text


def test_stages_say_when_how_long_and_which_were_never_reached() -> None:
    stages = (
        StageTime(stage=Stage.QEMU, seconds=0),
        StageTime(stage=Stage.FIRMWARE, seconds=0.1),
        StageTime(stage=Stage.KERNEL, seconds=2.0),
    )
    report = replace(FAILED, stages=stages, seconds=12.0)
    section = parsed(run_page(report, RunFolder())).find(".//section[@id='stages']")
    assert section is not None
    rows = {
        "".join(row[0].itertext()).split()[-1]: " ".join("".join(cell.itertext()) for cell in row[1:]).strip()
        for row in section.findall(".//tbody/tr")
    }
    assert rows["kernel"] == "2.0 s 10.0 s"
    assert rows["loader"] == "not seen"
    assert rows["initrd"] == "not reached"
    assert "3.9 times slower" in "".join(section.itertext())


def test_a_page_that_passed_says_so() -> None:
    page = run_page(PASSED, RunFolder())
    assert_stands_alone(page)
    assert "The image booted and was ready after 20.0 s, and every check holds (1)." in page
    assert "Why it failed" not in page


def test_a_page_of_an_image_that_must_be_refused_says_that_it_was() -> None:
    refused = Result(
        id="boot/refusal",
        title="the image is refused",
        kind="refused",
        phase="refusal",
        status=Status.HELD,
        note="secure-boot-refused: no signature",
    )
    page = run_page(replace(PASSED, results=(refused,)), RunFolder())
    assert "The image was refused, as it must be: secure-boot-refused: no signature" in page
    assert "The image booted" not in page


def test_what_was_collected_after_the_verdict_is_apart() -> None:
    lines = (ConsoleLine(seconds=2.0, text="panic"), ConsoleLine(seconds=99.0, text="mz-begin-0"))
    page = parsed(run_page(replace(FAILED, seconds=21.5), RunFolder(console=Console(head=lines))))
    names = [
        "".join(item.itertext()).split(" ")[0] for item in page.findall(".//section[@id='console']/details/summary")
    ]
    assert names[-1] == "after"


def test_a_console_that_is_very_long_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "console.txt"
    with path.open("w") as file:
        for number in range(200_000):
            file.write(f"[{number / 1000:8.3f}] line {number} of a flood\n")
    console = read_console(path)
    assert console.head[0].text == "line 0 of a flood"
    assert console.tail[-1].text == "line 199999 of a flood"
    assert console.left_out_bytes > 5_000_000
    page = run_page(PASSED, RunFolder(console=console))
    assert len(page) < 2_000_000
    assert "left out: see console.txt" in page


def test_a_run_folder_is_read_as_far_as_it_is_there(tmp_path: Path) -> None:
    assert read_run_folder(tmp_path / "none") == RunFolder()
    (tmp_path / "console.txt").write_text("[   0.100] SeaBIOS\n[   2.000] half a li")
    (tmp_path / "screenshot.png").write_bytes(b"not a picture")
    (tmp_path / "emergency.txt").write_text("$ cat /etc/fstab\n/dev/x\n")
    folder = read_run_folder(tmp_path)
    assert [line.text for line in folder.console.head] == ["SeaBIOS", "half a li"]
    assert folder.screenshot == b""
    assert folder.texts == (("emergency.txt", "$ cat /etc/fstab\n/dev/x\n"),)
    assert "Collected where the boot stopped" in run_page(FAILED, folder)


def test_a_later_boot_of_the_same_disk_has_its_console_too(tmp_path: Path) -> None:
    line = "[ 2.3] Kernel panic - not syncing: no init\x01"
    part = tmp_path / "after-power-cut-1"
    part.mkdir()
    (tmp_path / "console.txt").write_text("[   0.100] SeaBIOS\n")
    (part / "console.txt").write_text(f"[   0.100] SeaBIOS\n[   2.500] {line}\n")
    (part / "initramfs.txt").write_text("$ cat /proc/cmdline\nroot=/dev/none\n")
    (part / "screenshot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    page = run_page(FAILED, read_run_folder(tmp_path))
    assert_stands_alone(page)
    assert "root=/dev/none" in page
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page
    assert 'href="#line-1-1"' in page
    assert 'href="./after-power-cut-1/console.txt"' in page
    [block] = [
        item for item in parsed(page).findall(".//section[@id='console']/details") if item.get("open") is not None
    ]
    assert "".join(block.find("summary/strong").itertext()) == "after-power-cut-1"  # type: ignore[union-attr]


def test_a_screenshot_is_in_the_page() -> None:
    page = run_page(FAILED, RunFolder(screenshot=b"\x89PNG\r\n\x1a\n"))
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page


def test_failures_are_named_beyond_colour() -> None:
    page = parsed(run_page(replace(FAILED, results=(FAILS,)), RunFolder()))
    [row] = page.findall(".//section[@id='assertions']/table/tbody")
    assert "failed" in "".join(row.itertext()).split("service")[0]
