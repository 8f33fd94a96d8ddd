"""What is said of a fleet, who may be asked, and what travels to whom."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from metallize import pipeline
from metallize.catalog import Catalog
from metallize.commands.line import run
from metallize.config import load_profiles
from metallize.errors import HostError, UsageError
from metallize.night.executors import executor_at
from metallize.night.executors.dask import Dask
from metallize.night.executors.processes import Processes
from metallize.night.fleet.facts import Facts
from metallize.night.fleet.link import Place, distributed, place_of
from metallize.night.fleet.survey import findings_of
from metallize.night.matrix.making import Candidate, matrix_of
from tests.unit.night.fleet.fleets import OURS, facts

CATALOG = Catalog()


def told(**workers: Facts) -> list[str]:
    return [
        each.line()
        for each in findings_of({f"tcp://{name}": it for name, it in workers.items()}, ["ovmf", "rpi"], OURS)
    ]


def test_who_can_boot_what() -> None:
    lines = told(b=facts("b", kvm=True), a=facts("a", machines=("rpi",), memory_bytes=16 << 30))
    assert lines == [
        "ok   worker a at tcp://a: 2 cores, 12.8 GiB, KVM, machines rpi",
        "ok   worker b at tcp://b: 2 cores, 6.4 GiB, KVM, machines ovmf, seabios",
        "ok   machine ovmf: b",
        "ok   machine rpi: a",
        "ok   KVM: b",
        "opt  a TPM: no worker can\n       mend: sudo apt-get install swtpm on one",
        "ok   memory: a guest may have up to 16.0 GiB, on a",
    ]


def test_what_no_worker_can_and_whoever_gets_no_cell() -> None:
    lines = told(a=facts("a", software={**OURS, "judge": "b" * 16}))
    assert lines[0].startswith("MISS workers: none runs what this host runs")
    assert f"opt  worker a at tcp://a: it runs judge {'b' * 16} and not {'a' * 16}: it gets no cell" in lines[1]
    assert lines[2].startswith("opt  machine ovmf: no worker can")
    assert told()[0].startswith("MISS workers: none is there")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8786", Place(host="127.0.0.1", port=8786)),
        ("host-1.example.org:1", Place(host="host-1.example.org", port=1)),
        ("[::1]:8786", Place(host="::1", port=8786)),
    ],
)
def test_a_place(text: str, place: Place) -> None:
    assert place_of(text) == place
    assert str(place) == text
    assert executor_at(f"dask://{text}", None) == Dask(place=place, keys=None)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:0", "host:65536", "::1:8786", "a b:1", "host:1/x", "h:\u0661"]
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="no place of a scheduler"):
        executor_at(f"dask://{text}", None)


def test_executors_are_found_by_their_names(tmp_path: Path) -> None:
    assert executor_at("processes", None) == Processes()
    with pytest.raises(UsageError, match="no such executor") as caught:
        executor_at("dusk://host:1", None)
    assert caught.value.hint == "did you mean `dask`?"
    with pytest.raises(UsageError, match="takes no place"):
        executor_at("processes://here", None)
    with pytest.raises(UsageError, match="--keys goes with"):
        executor_at("processes", tmp_path)
    with pytest.raises(UsageError, match=r"there is no fleet\.crt"):
        executor_at("dask://host:1", tmp_path)


def test_without_dask_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(HostError, match=r"needs dask\.distributed") as caught:
        distributed()
    assert caught.value.hint == "pip install 'metallize[fleet]'"


def test_off_the_loopback_nobody_is_spoken_to_without_keys(tmp_path: Path) -> None:
    for words in (["worker", "192.0.2.1:8786", "--folder", str(tmp_path)], ["doctor", "--fleet", "192.0.2.1:8786"]):
        with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not this host's loopback"):
            run(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["worker"], "whose worker"),
        (["worker", "h:1", "--make-keys", "x"], "--make-keys boots nothing"),
        (["worker", "nowhere"], "no place of a scheduler"),
        (["worker", "127.0.0.1:1", "--cache", "much"], "much"),
        (["doctor", "--keys", "x"], "--keys goes with --fleet"),
    ],
)
def test_what_a_command_line_cannot_mean(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        run(words)


def test_keys_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["worker", "--make-keys", str(tmp_path / "keys")]) == 0
    assert capsys.readouterr().out.endswith("whoever has them is in the fleet\n")
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["fleet.crt", "fleet.key"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CATALOG.profiles))
def test_what_is_asked_of_every_shipped_profile_travels(name: str) -> None:
    """As it is on one host it is on the other, without the kinds, which are modules of the package."""
    from dataclasses import replace

    from metallize.asked import asked_of

    profiles = load_profiles(CATALOG.profiles[name], vocabulary=CATALOG.vocabulary(), overrides={})
    matrix = matrix_of(
        [Candidate(name=name, load=lambda: profiles, named=True)], CATALOG, pipeline.Options(), here=False
    )
    for entry in matrix.entries:
        there = pickle.loads(pickle.dumps(replace(entry.request, kinds={})))  # noqa: S301 - our own
        assert replace(there, kinds=CATALOG.kinds) == entry.request
        assert asked_of(there) == asked_of(entry.request)
