"""The nights' pages, served: they grow with the history, and nothing of the build folder is handed out but runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest

from metallize.command import spawn
from metallize.commands.line import parse
from metallize.commands.nightly import nightly
from metallize.errors import UsageError
from metallize.night.history import append, history_path
from metallize.night.pages.live import REFRESH_SECONDS, LivePages
from metallize.night.pages.site import write_site
from metallize.serve import FetchLog, serving
from tests.conftest import ROOT
from tests.unit.night.attempts import CELL, attempt, night
from tests.unit.report.test_page import assert_stands_alone

HERE = "127.0.0.1"


def get(url: str, name: str = "") -> tuple[str, Message]:
    with urllib.request.urlopen(f"{url}{name}", timeout=10) as answer:  # noqa: S310 - our own server
        return answer.read().decode(), answer.headers


def refused(url: str, name: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(url, name)
    caught.value.close()
    return int(caught.value.code)


@contextmanager
def served(build: Path) -> Iterator[str]:
    with serving(LivePages(build), FetchLog(), address=HERE, http_port=0) as running:
        yield f"http://{HERE}:{running.http.port}/"


def test_a_site_whose_name_comes_to_mean_this_host_reads_nothing(tmp_path: Path) -> None:
    append(history_path(tmp_path), [attempt(1)])
    pages = LivePages(tmp_path, hosts=frozenset({HERE, "localhost"}))
    with serving(pages, FetchLog(), address=HERE, http_port=0) as running:
        url = f"http://{HERE}:{running.http.port}/"
        assert get(url)[0]
        assert get(f"http://localhost:{running.http.port}/")[0]
        for host in ("evil.example", f"evil.example:{running.http.port}", "127.0.0.1.evil.example"):
            request = urllib.request.Request(url, headers={"Host": host})
            with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own server
            caught.value.close()


def test_the_pages_are_those_that_are_written_and_grow_with_the_history(tmp_path: Path) -> None:
    build = tmp_path / "build"
    append(history_path(build), [attempt(1)])
    with served(build) as url:
        first, headers = get(url)
        assert_stands_alone(first)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Refresh" not in headers
        assert "the kernel panicked" not in first
        append(history_path(build), [attempt(2, "FAIL")])
        second, _ = get(url)
        assert "The kernel panicked" in second
        assert not (build / "report.html").exists(), "nothing is written"
        assert write_site(build).read_text() == second == get(url, "report.html")[0]
        [page] = (build / "nightly" / "pages").iterdir()
        assert f'href="./nightly/pages/{page.name}"' in second
        own, headers = get(url, f"nightly/pages/{page.name}")
        assert own == page.read_text()
        assert str(CELL) in own
        assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_while_a_night_goes_on_the_first_page_says_so_and_is_asked_for_again(tmp_path: Path) -> None:
    build = tmp_path / "build"
    with served(build) as url:
        page, headers = get(url)
        assert "there is no history in" in page
        assert headers["Refresh"] == str(REFRESH_SECONDS)
        append(history_path(build), [attempt(1)])
        (build / "nightly" / "night.json").write_text(json.dumps({"night": night(1), "key": "k", "made": {}}))
        page, headers = get(url)
        assert "the night of 2026-01-01 02:00" in page
        assert headers["Refresh"] == str(REFRESH_SECONDS)
        (build / "nightly" / "night.json").unlink()
        page, headers = get(url)
        assert "Not at its end" not in page
        assert "Refresh" not in headers


def test_of_the_build_folder_only_pages_and_runs_are_handed_out(tmp_path: Path) -> None:
    build = tmp_path / "build"
    run = build / "runs" / "web" / "1"
    run.mkdir(parents=True)
    for name in ("report.html", "console.txt", "other.html", "net.pcap"):
        (run / name).write_text("<p>what a guest says")
    for name in ("web.iso", "web.iso.verification.json", "nightly/kept"):
        (build / name).parent.mkdir(parents=True, exist_ok=True)
        (build / name).write_text("no page")
    (run / "out.txt").symlink_to(build / "web.iso")
    append(history_path(build), [attempt(1)])
    with served(build) as url:
        kinds = {
            name: get(url, f"runs/web/1/{name}")[1]["Content-Type"]
            for name in ("report.html", "console.txt", "other.html", "net.pcap")
        }
        assert kinds == {
            "report.html": "text/html; charset=utf-8", "console.txt": "text/plain; charset=utf-8",
            "other.html": "text/plain; charset=utf-8", "net.pcap": "application/octet-stream",
        }  # fmt: skip
        for name in (
            "web.iso", "web.iso.verification.json", "nightly/history.jsonl", "nightly/kept", "nightly/pages/x.html",
            "runs", "runs/web/1", "runs/web/1/out.txt", "runs/../web.iso", "runs/%2e%2e/web.iso",
            "..%2f..%2fetc/passwd", "runs/%2fetc/passwd", "runs/a%00b",
        ):  # fmt: skip
            assert refused(url, name) == 404, name


def test_many_may_ask_while_the_history_grows(tmp_path: Path) -> None:
    build = tmp_path / "build"
    append(history_path(build), [attempt(1)])
    wrong: list[object] = []

    def ask(url: str) -> None:
        for _ in range(20):
            page, _ = get(url)
            if "NOTHING" not in page and "FAILING" not in page:
                wrong.append(page)

    with served(build) as url:
        threads = [threading.Thread(target=ask, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(2, 12):
            append(history_path(build), [attempt(number)])
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_is_its_proper_end(tmp_path: Path, number: signal.Signals) -> None:
    append(history_path(tmp_path / "build"), [attempt(1)])
    words = (sys.executable, "-m", "metallize", "nightly", "--serve", "--json", "--http-port", "0")
    with spawn(words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["event"] == "serving"
        assert told["url"].startswith("http://127.0.0.1:"), "nobody else's, unless that is asked for"
        assert "NOTHING FAILS" in get(told["url"])[0]
        server.send_signal(number)
        assert server.wait(timeout=30) == 0
        assert json.loads(server.stdout.read()) == {"event": "result", "fetches": 1}
    assert not (tmp_path / "build" / "nightly" / "night.lock").exists(), "it tries nothing"


@pytest.mark.parametrize("words", [["--address", "127.0.0.1"], ["--http-port", "0"]])
def test_where_it_listens_goes_with_serve(words: list[str]) -> None:
    with pytest.raises(UsageError, match="goes with --serve"):
        nightly(parse(["nightly", *words]))
