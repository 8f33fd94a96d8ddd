"""What is asked, as digests: the same in every process, another for whatever else is asked."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.asked import Asked, Part, asked_of
from metallize.catalog import Catalog
from metallize.command import run
from metallize.errors import HostError, Location
from metallize.model.boot import Boot, Ssh
from metallize.model.canonical import canonical
from metallize.shells.ssh import ephemeral_key
from tests.conftest import ROOT
from tests.unit.proof.digests import BOOT, asserted, everything, request

CATALOG = Catalog()


def digests(seed: str) -> dict[str, str]:
    argv = [sys.executable, "-m", "tests.unit.proof.digests"]
    found: dict[str, str] = json.loads(run(argv, cwd=ROOT, env={"PYTHONHASHSEED": seed}).stdout)
    return found


@pytest.mark.slow
def test_every_kind_every_matcher_and_every_key_is_the_same_in_two_processes() -> None:
    """In the one and the other order of sets, at other addresses."""
    one, other = digests("1"), digests("2")
    assert one == other
    assert len(set(one.values())) == len(one), "and no two of them are alike"
    assert len(one) > 60


def test_where_it_is_written_down_is_not_asked() -> None:
    [assertion] = asserted(CATALOG, {"service": {"ssh": {"running": True, "meta": {"who": "a"}}}})
    elsewhere = replace(assertion, location=Location(path=Path("/other.yaml"), line=9, column=9))
    [without] = asserted(CATALOG, {"service": {"ssh": {"running": True}}})
    one, other, third = (asked_of(request(CATALOG, assertions=(each,))) for each in (assertion, elsewhere, without))
    assert one.id == other.id == third.id
    assert one.parts[-1].what.startswith("service ssh at ")
    assert other.parts[-1].what == "service ssh at /other.yaml:9:9"


def test_what_boot_machines_says_of_another_machine_is_no_matter() -> None:
    of_each: list[dict[str, Any]] = [{"seabios": {}}, {"ovmf": {"cpus": 1}}]
    boots = [Boot.model_validate({"machines": machines}) for machines in of_each]
    assert len({asked_of(request(CATALOG, boot=boot)).id for boot in boots}) == 1


CHOICES = st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in BOOT.items()})


@given(one=CHOICES, other=CHOICES)
def test_equal_profiles_have_one_digest_and_others_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    ids = [asked_of(request(CATALOG, boot=Boot.model_validate(each))).id for each in (one, other)]
    assert (ids[0] == ids[1]) is (one == other)


EVERYTHING = tuple(everything(CATALOG)[name] for name in ("http", "kind service", "matcher gjson", "assertion"))


@given(
    one=st.lists(st.sampled_from(EVERYTHING), max_size=4),
    other=st.lists(st.sampled_from(EVERYTHING), max_size=4),
)
def test_assertions_count_in_their_order(one: list[Any], other: list[Any]) -> None:
    def id_of(some: list[Any]) -> str:
        return asked_of(request(CATALOG, assertions=tuple(item for each in some for item in each.assertions))).id

    assert (id_of(one) == id_of(other)) is (one == other)


def test_of_a_key_its_public_half_is_asked_wherever_its_file_is(tmp_path: Path) -> None:
    for name, text in (("a", ephemeral_key()), ("b", ephemeral_key())):
        (tmp_path / name).write_text(text)
    (tmp_path / "c").write_text((tmp_path / "a").read_text())

    def id_of(key: str | None) -> str:
        return asked_of(request(CATALOG, boot=Boot(ssh=Ssh(user="a", key=key)))).id

    a, b, c = (id_of(str(tmp_path / name)) for name in "abc")
    assert a == c
    assert len({a, b, id_of("ephemeral"), id_of(None)}) == 4
    with pytest.raises(HostError, match="cannot be read"):
        id_of(str(tmp_path / "gone"))


def test_a_password_cannot_be_guessed_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is published: what holds a password is digested at a cost."""
    stretched: list[bytes] = []

    def stretch(text: bytes) -> str:
        stretched.append(text)
        return "costly"

    monkeypatch.setattr("metallize.asked._stretched", stretch)
    secrets = {name: BOOT[name] for name in ("login", "ssh", "seed", "steps")}
    secrets["reach"] = {"tcp:22": {"refuses_password": {"user": "a", "password": "b"}}}
    asserting = asserted(CATALOG, {"http": {"http://a/": {"status": 200, "username": "a", "password": "secret"}}})
    asked = asked_of(request(CATALOG, boot=Boot.model_validate(secrets), assertions=asserting))
    assert len(stretched) == 6
    assert [part.what for part in asked.parts if part.digest == "costly"][:5] == [
        "boot.login", "boot.reach", "boot.seed", "boot.ssh", "boot.steps",
    ]  # fmt: skip
    stretched.clear()
    asked_of(request(CATALOG, assertions=asserted(CATALOG, {"http": {"http://a/": {"status": 200}}})))
    assert stretched == [], "what holds no password costs nothing"


def test_what_a_guess_costs_is_what_it_says_and_stays_so() -> None:
    """With less memory or fewer rounds it could be guessed; with other ones what was recorded is another."""
    found = asked_of(request(CATALOG, boot=Boot.model_validate({"login": BOOT["login"]})))
    [login] = [part for part in found.parts if part.what == "boot.login"]
    text = canonical(("boot.login", Boot.model_validate({"login": BOOT["login"]}).login)).encode()
    assert login.digest == hashlib.scrypt(text, salt=b"metallize", n=16384, r=8, p=1, dklen=32).hex()


def asked(*parts: str) -> Asked:
    """Parts written `name=digest`."""
    pairs = (part.partition("=") for part in parts)
    return Asked(parts=tuple(Part(what=what, digest=digest) for what, _, digest in pairs))


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (("a=1", "b=2"), ("a=1", "b=2"), ""),
        (("a=1", "b=2"), ("a=1", "b=3"), "b"),
        (("a=1",), ("a=1", "service ssh at x.yaml:1:2=2"), "service ssh at x.yaml:1:2"),
        (("a=1", "b=2"), ("a=1",), "b (asked no longer)"),
        (("service a at x:1:1=1",), ("service a at y:2:2=2",), "service a at y:2:2"),
        (("a at x:1:1=1",), ("b at x:1:1=2",), "b at x:1:1, a at x:1:1 (asked no longer)"),
        (("a=1", "b=2"), ("b=2", "a=1"), "the order of what is asked"),
        (("a=1", "b=1"), ("a=1",), "b (asked no longer)"),
        (("a=1", "b=1"), ("a=1", "b=1"), ""),
        (("a=1", "b=2"), ("a=3",), "a, b (asked no longer)"),
        ((), ("a=1", "b=2", "c=3"), "a, b, c"),
        ((), ("a=1", "b=2", "c=3", "d=4"), "a, b, c, and 1 more"),
        ((), ("a=1", "b=2", "c=3", "d=4", "e=5"), "a, b, c, and 2 more"),
    ],
)
def test_what_changed_is_named(before: tuple[str, ...], now: tuple[str, ...], told: str) -> None:
    assert asked(*now).changes(asked(*before)) == told


def test_more_contains_less() -> None:
    assert asked("a=1", "b=2").contains(asked("b=2"))
    assert asked("b=2", "a=1").contains(asked("a=1", "b=2"))
    assert not asked("b=2").contains(asked("a=1", "b=2"))
    assert not asked("a=1").contains(asked("a=1", "b=1")), "each as often"
