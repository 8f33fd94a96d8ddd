"""What a profile's rules stop, what is told of it, and how it is overruled; the difference that a channel shows."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from metallize.errors import VerificationFailed
from metallize.events import Silent
from metallize.model.rule_names import NAMES
from metallize.model.rules import ReleaseRules
from metallize.release import curating
from metallize.release.catalogue import read_catalogue
from metallize.release.channel.page import page_text
from metallize.release.destinations import destination_at
from metallize.release.keys import load_signer, make_key
from metallize.release.statement import statements
from metallize.release.wares import Ware
from tests.unit.release.wares import NOW, PACKAGES, catalogue, released, tree, ware

ATOM = "{http://www.w3.org/2005/Atom}"
CURL = {"name": "curl", "version": "8.14", "architecture": "amd64", "licences": ["curl"]}
RULES = ReleaseRules.model_validate(
    {
        "size": "+5%",
        "packages": {"removed": "deny", "new": "deny"},
        "licences": {"deny": ["AGPL-3*"]},
    }
)


def entry(to: Path, channel: str = "stable") -> dict[str, Any]:
    """The newest release of a channel."""
    releases: Any = catalogue(to / channel)["releases"]
    found: dict[str, Any] = releases[0]
    return found


def listening(made: Ware, *ports: str, on: tuple[str, ...] = ("seabios", "ovmf")) -> Ware:
    """The same image, whose boots have seen what it listens on."""
    record = made.image.papers[1]
    told = json.loads(record.read_text())
    for machine in told["machines"]:
        machine["listening"] = list(ports) if machine["machine"] in on else None
    record.write_text(json.dumps(told))
    return made


NO_NEW = ReleaseRules.model_validate({"ports": {"new": "deny"}})


def test_a_port_that_was_not_listened_on_before_stops_a_release(tmp_path: Path) -> None:
    """By the records of the boots: of every machine, whichever it is that listens."""
    to = tmp_path / "to"
    released(to, listening(ware(tmp_path / "one"), "tcp:22", "udp:68"))
    more = listening(ware(tmp_path / "two", b"two", rules=NO_NEW), "tcp:22", "tcp:8080", "tcp:443")
    why = r"release.ports.new: 2 ports that web_20261130.1 did not listen on: tcp:443, tcp:8080"
    with pytest.raises(VerificationFailed, match=why):
        released(to, more)
    done = released(to, more, waive=frozenset({"ports.new"}))
    assert done.release.waived[0].startswith("release.ports.new: 2 ports")
    [change] = done.release.changes
    assert "  + tcp:8080  listening" in change.lines
    assert "  - udp:68  listening" in change.lines
    fewer = listening(ware(tmp_path / "three", b"three", rules=NO_NEW), "tcp:22")
    assert released(to, fewer).new


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (("seabios", "ovmf"), ("ovmf",), "nobody saw on each machine which ports it listens on"),
        (("ovmf",), ("seabios", "ovmf"), "nobody saw which ports web_20261130.1 listened on, .* are new: tcp:22"),
    ],
)
def test_ports_that_nobody_saw_are_no_reason_to_let_it_out(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], why: str
) -> None:
    released(tmp_path / "to", listening(ware(tmp_path / "one"), "tcp:22", on=before))
    with pytest.raises(VerificationFailed, match=rf"release.ports.new: {why}"):
        released(tmp_path / "to", listening(ware(tmp_path / "two", b"two", rules=NO_NEW), "tcp:22", on=after))


def test_the_first_release_of_a_channel_has_no_port_that_is_new(tmp_path: Path) -> None:
    assert released(tmp_path / "to", listening(ware(tmp_path / "one", rules=NO_NEW), "tcp:22")).new


@pytest.mark.parametrize(
    ("told", "rule", "why"),
    [
        ({"packages": PACKAGES[:1]}, "packages.removed", r"1 package of web_20261130.1 no longer in it: adduser"),
        (
            {"packages": [*PACKAGES, CURL]},
            "packages.new",
            r"1 package in it that web_20261130.1 did not have: curl",
        ),
        (
            {"rootfs_bytes": 1_051_000},
            "size",
            r"its rootfs grew by 5.1 % since web_20261130.1, from 1.0 MB to 1.1 MB; \+5% is allowed",
        ),
        (
            {"packages": [{**PACKAGES[0], "licences": ["Expat", "AGPL-3+"]}, PACKAGES[1]]},
            "licences.deny",
            r"1 package under licences it denies: base-files \(AGPL-3\+\)",
        ),
    ],
)
def test_a_rule_stops_a_release(tmp_path: Path, told: dict[str, Any], rule: str, why: str) -> None:
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one", rootfs_bytes=1_000_000))
    before = tree(to / "stable")
    other = ware(tmp_path / "two", b"two", rules=RULES, **{"rootfs_bytes": 1_050_000, **told})
    with pytest.raises(VerificationFailed, match=rf"web.raw is not released: release.{rule}: {why}") as caught:
        released(to, other)
    assert caught.value.hint is not None
    assert f"--waive {rule}" in caught.value.hint
    assert tree(to / "stable") == before
    with pytest.raises(VerificationFailed, match="is not released"):
        released(to, other, waive=frozenset(set(NAMES) - {rule}))
    released(to, other, waive=frozenset({rule}))
    [waived] = entry(to)["waived"]
    assert waived.startswith(f"release.{rule}: ")
    assert "overruled: release." in (to / "stable" / "index.html").read_text()
    read = read_catalogue("stable", (to / "stable" / "releases.json").read_bytes(), "")
    assert read.releases[0].waived == (waived,)
    assert read.text().encode() == (to / "stable" / "releases.json").read_bytes()


def test_what_the_rules_let_out(tmp_path: Path) -> None:
    """The first release of a channel has nothing before it, and none of these rules overruled is told of."""
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one", rules=RULES, rootfs_bytes=100))
    released(to, ware(tmp_path / "two", b"2", rules=RULES, rootfs_bytes=105), waive=frozenset(NAMES))
    assert entry(to)["version"] == "20261130.2"
    assert entry(to)["waived"] == []


def test_a_licence_that_is_unknown_may_be_denied(tmp_path: Path) -> None:
    rules = ReleaseRules.model_validate({"licences": {"deny": ["unknown"]}})
    with pytest.raises(VerificationFailed, match=r"base-files \(unknown\)"):
        released(tmp_path / "to", ware(tmp_path / "one", rules=rules, packages=[CURL, PACKAGES[0]]))
    assert not (tmp_path / "to" / "stable").exists()


def test_the_release_before_is_the_one_with_the_version_before(tmp_path: Path) -> None:
    """One that was brought in later under a higher version is not; nor is another name's, or another format's."""
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one", version="1"))
    released(to, ware(tmp_path / "two", b"2", version="3", packages=[*PACKAGES, CURL]))
    released(to, ware(tmp_path / "other", b"o", file="web.iso", name="other", version="1", packages=[CURL]))
    released(to, ware(tmp_path / "three", b"3", version="2", rules=RULES))
    releases: Any = catalogue(to / "stable")["releases"]
    assert [each["version"] for each in releases if each["name"] == "web"] == ["3", "2", "1"]


def test_the_decision_tells_what_was_overruled(tmp_path: Path) -> None:
    to = tmp_path / "to"
    attest = statements(load_signer(make_key(tmp_path / "k").private))
    rules = ReleaseRules.model_validate({"licences": {"deny": ["unknown"]}})
    released(to, ware(tmp_path / "one", rules=rules), waive=frozenset({"licences.deny"}), attest=attest)
    [*_, line] = (to / "stable" / "web_20261130.1_x86-64.raw.intoto.jsonl").read_text().splitlines()
    predicate = json.loads(b64decode(json.loads(line)["payload"]))["predicate"]
    assert predicate["urn:metallize:waived"] == entry(to)["waived"]
    released(to, ware(tmp_path / "one", rules=rules), channel="beta", waive=frozenset({"licences.deny"}))
    assert entry(to, "beta")["waived"] == entry(to)["waived"]


def test_a_channel_shows_what_differs(tmp_path: Path) -> None:
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one"))
    assert entry(to)["changes"] == []
    older = {**PACKAGES[0], "version": "12"}
    released(to, ware(tmp_path / "two", b"2", packages=[older, CURL]), now=NOW + timedelta(days=1))
    [change] = entry(to)["changes"]
    assert (change["since"], change["image"]) == ("web_20261130.1", "web_20261201.1_x86-64.raw.xz")
    assert "packages: 1 added, 1 removed, 1 changed" in change["lines"]
    assert "  ~ base-files  13.8+deb13u8 -> 12  (older than before)" in change["lines"]
    page = (to / "stable" / "index.html").read_text()
    assert "what differs from web_20261130.1" in page
    assert "sha256sum --check --ignore-missing SHA256SUMS</pre>" in page, "nothing is signed"
    assert "base-files  13.8+deb13u8 -&gt; 12" in page
    feed = ET.fromstring((to / "stable" / "feed.atom").read_bytes())  # noqa: S314 - our own
    first, second = feed.findall(f"{ATOM}entry")
    assert first.findtext(f"{ATOM}title") == "web 20261201.1"
    assert "  + curl  8.14" in (first.findtext(f"{ATOM}content") or "")
    assert "  + curl" not in (second.findtext(f"{ATOM}content") or "")


def test_a_promoted_release_is_compared_with_its_own_channels(tmp_path: Path) -> None:
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one", version="1"))
    for version in ("2", "3"):
        more = [*PACKAGES, {**CURL, "version": version}]
        released(to, ware(tmp_path / version, version.encode(), version=version, packages=more), channel="beta")
    curating.promote(destination_at(str(to)), "3", Silent(), curating.Terms(now=NOW), channel="stable")
    [change] = entry(to)["changes"]
    assert change["since"] == "web_1"
    assert "  + curl  3" in change["lines"]
    [change] = entry(to, "beta")["changes"]
    assert "  ~ curl  2 -> 3" in change["lines"]


def test_a_great_difference_is_cut_and_says_so(tmp_path: Path) -> None:
    to = tmp_path / "to"
    many = [{"name": f"p{number}", "version": "1", "architecture": "all"} for number in range(300)]
    released(to, ware(tmp_path / "one"))
    released(to, ware(tmp_path / "two", b"2", packages=many))
    [change] = entry(to)["changes"]
    assert len(change["lines"]) == 201
    assert change["lines"][-1].endswith("lines more: metallize diff web_20261130.1 web_20261130.2 --in DEST")


def test_the_feed_has_what_the_standard_wants(tmp_path: Path) -> None:
    """RFC 4287, 4.1: an id, a title and a time each; ids that stay, and are nobody else's."""
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one", version="1"))
    released(to, ware(tmp_path / "two", b"2", version="2"))
    terms = curating.Terms(now=NOW + timedelta(hours=1))
    curating.retract(destination_at(str(to)), "1", Silent(), terms, why="\x1b[1m <b>&\ud7ff \x00")
    for feed in (
        ET.fromstring((to / "stable" / "feed.atom").read_bytes()),  # noqa: S314 - our own
        ET.fromstring((to / "stable" / "feed.atom").read_bytes()),  # noqa: S314 - our own
    ):
        every = [feed, *feed.findall(f"{ATOM}entry")]
        assert len(every) == 2
        for each in every:
            for name in ("id", "title", "updated"):
                assert len(each.findall(f"{ATOM}{name}")) == 1
            datetime.fromisoformat(each.findtext(f"{ATOM}updated") or "")
        assert len({each.findtext(f"{ATOM}id") for each in every}) == len(every)
        assert feed.findtext(f"{ATOM}author/{ATOM}name")
        assert feed.findtext(f"{ATOM}updated") == "2026-11-30T13:00:00+00:00"


def test_an_older_catalogue_is_read(tmp_path: Path) -> None:
    """One from before rules and differences were told."""
    to = tmp_path / "to"
    released(to, ware(tmp_path / "one"))
    content: Any = catalogue(to / "stable")
    for each in content["releases"]:
        del each["waived"], each["changes"]
    read = read_catalogue("stable", json.dumps(content).encode(), "")
    assert (read.releases[0].waived, read.releases[0].changes) == ((), ())
    page_text(read)
