"""What a proof covers, what it says of what it does not, and that its record cannot be damaged into one."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metallize import deciding
from metallize.build.generator import sha256_of
from metallize.errors import HostError
from metallize.model.boot import Boot
from metallize.proof import Proof, record_of, withdraw
from metallize.verify import VerifyRequest
from tests.conftest import ROOT
from tests.unit.proof.digests import asserted
from tests.unit.proof.proofs import CATALOG, OVMF, SEABIOS, booted, on, proven


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "web.iso"
    path.write_bytes(b"image")
    return path


def objections(image: Path, *required: VerifyRequest) -> str:
    """What a fresh look says against the image; without requests by the record itself."""
    return "; ".join(Proof.load(image).objections(image, sha256_of(image), required or None))


def covers(image: Path, *required: VerifyRequest) -> bool:
    return Proof.load(image).covers(sha256_of(image), required)


def test_what_passed_everywhere_is_proven(image: Path) -> None:
    proven(image, SEABIOS, OVMF)
    assert covers(image, SEABIOS, OVMF)
    assert objections(image, SEABIOS, OVMF) == objections(image) == ""
    content = json.loads(record_of(image).read_text())
    assert (content["schema"], content["verdict"], content["plan"]) == (2, "passed", "plan")
    assert [each["machine"] for each in content["machines"]] == ["ovmf", "seabios"]
    assert sorted(content["required"]) == ["ovmf", "seabios"]


def test_what_it_ran_on_is_told_and_binds_nothing(image: Path) -> None:
    proven(image, SEABIOS)
    [machine] = json.loads(record_of(image).read_text())["machines"]
    assert machine["accelerator"]["name"] == "tcg"
    assert machine["accelerator"]["slowness"] == 3.9
    assert machine["qemu"] == ""
    assert machine["proof"]["firmware"] == "bios"
    for run_on in ({"accel": "kvm"}, {"runs_dir": Path("elsewhere")}, {"keep_running": True}, {"image": Path("y")}):
        assert covers(image, on("seabios", **run_on)), run_on


def test_nothing_is_proven_by_nothing(image: Path) -> None:
    assert objections(image) == f"{image} has not been verified"
    assert not covers(image)
    proven(image, required=())
    assert not covers(image)
    assert "no machine is known" in objections(image)
    assert not Proof.load(image).whole


def test_some_machines_are_not_all_of_them_and_add_up(image: Path) -> None:
    proven(image, SEABIOS, required=(SEABIOS, OVMF))
    for told in (objections(image, SEABIOS, OVMF), objections(image)):
        assert told == f"{image} was verified on seabios only, and is not yet verified on ovmf"
    assert not covers(image, SEABIOS, OVMF)
    assert json.loads(record_of(image).read_text())["verdict"] == "incomplete"
    proven(image, OVMF, required=(SEABIOS, OVMF))
    assert covers(image, SEABIOS, OVMF)
    assert objections(image) == ""


def test_one_machine_that_failed_is_enough(image: Path) -> None:
    proven(image, SEABIOS, OVMF)
    booted(image, OVMF, passed=False).asking((SEABIOS, OVMF), plan="", profile="").save(image)
    assert objections(image) == objections(image, SEABIOS, OVMF) == f"{image} failed its verification on ovmf"
    assert Proof.load(image).refutes(OVMF)
    assert not Proof.load(image).refutes(SEABIOS)
    assert not Proof.load(image).whole
    assert json.loads(record_of(image).read_text())["verdict"] == "failed"


def test_a_machine_that_the_profile_does_not_name_proves_nothing_and_breaks_nothing(image: Path) -> None:
    proven(image, SEABIOS)
    booted(image, OVMF, passed=False).asking((SEABIOS,), plan="", profile="").save(image)
    assert covers(image, SEABIOS)
    assert objections(image) == ""


def test_other_bytes_are_not_these(image: Path) -> None:
    proven(image, SEABIOS)
    image.write_bytes(b"IMAGE")
    assert "is not the file that was verified: its sha256 is" in objections(image, SEABIOS)
    assert not covers(image, SEABIOS)
    booted(image, OVMF).asking((SEABIOS, OVMF), plan="", profile="").save(image)
    assert "is not yet verified on seabios" in objections(image), "the other bytes' boots do not add up with these"


def test_what_changed_is_named_with_its_machine(image: Path) -> None:
    before = asserted(CATALOG, {"service": {"ssh": {"running": True}}, "file": {"/a": {"exists": True}}})
    after = asserted(CATALOG, {"service": {"ssh": {"enabled": True}}, "file": {"/a": {"exists": True}}})
    proven(image, on("seabios", assertions=before), on("ovmf", assertions=before))
    assert covers(image, on("seabios", assertions=before))
    told = objections(image, on("seabios", assertions=after), on("ovmf", assertions=before))
    assert told.startswith(
        f"what the profile asks of {image} on seabios has changed since it was verified: service ssh"
    )
    assert "ovmf" not in told
    assert "/a" not in told
    told = objections(image, on("seabios", assertions=before, boot=Boot(reboot=True)))
    assert told.endswith("since it was verified: boot.reboot")


def test_a_mended_judge_judges_again(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(image, SEABIOS, required=(SEABIOS, OVMF))
    monkeypatch.setattr("metallize.proof.judge", lambda: "another")
    assert not covers(image, SEABIOS)
    assert not Proof.load(image).refutes(SEABIOS)
    assert "was judged by other rules than those of this metallize" in objections(image)
    proven(image, OVMF, required=(SEABIOS, OVMF))
    assert not covers(image, SEABIOS, OVMF)
    assert not Proof.load(image).whole, "two judges have not seen the whole of it"


def test_every_file_that_decides_is_the_judges(tmp_path: Path) -> None:
    package = tmp_path / "metallize"
    for name in deciding.DECIDES:
        there = ROOT / "metallize" / name
        for file in [there] if there.is_file() else there.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                target = package / file.relative_to(ROOT / "metallize")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    before = deciding.judge_in(package)
    assert before == deciding.judge()
    (package / "checks" / "__pycache__").mkdir()
    (package / "checks" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert deciding.judge_in(package) == before
    for file in (package / "console/rules.yaml", package / "verify/requests.py", package / "proof.py"):
        content = file.read_bytes()
        file.write_bytes(content + b"\n# mended\n")
        assert deciding.judge_in(package) != before, file
        file.write_bytes(content)
    (package / "checks/http.py").rename(package / "checks/https.py")
    assert deciding.judge_in(package) != before


def test_a_record_of_an_older_metallize_proves_nothing(image: Path) -> None:
    record = {"verdict": "passed", "sha256": sha256_of(image), "id": "x", "metallize": "0", "machines": []}
    record_of(image).write_text(json.dumps(record))
    assert "has not been verified" in objections(image, SEABIOS)
    assert "it does not say who judged" in objections(image)


def damage(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def damaged(text: bytes) -> bytes:
        content = json.loads(text)
        change(content)
        return json.dumps(content).encode()

    return damaged


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda text: text[: len(text) // 2],
    "no text": lambda _: b"\xff\xfe\x00",
    "a list": lambda _: b"[]",
    "nested without end": lambda _: b"[" * 200_000,
    "nested objects": lambda _: b'{"a":' * 200_000,
    "a number without end": lambda text: text.replace(b'"schema": 2', b'"schema": ' + b"2" * 5000),
    "no number": damage(lambda it: it.update(schema=float("nan"))),
    "infinite": damage(lambda it: it["machines"][0].update(seconds=float("inf"))),
    "too large": lambda text: text + b" " * (65 << 20),
    "another schema": damage(lambda it: it.update(schema=3)),
    "no machines": damage(lambda it: it.pop("machines")),
    "machines of another type": damage(lambda it: it.update(machines={"a": 1})),
    "a machine that is text": damage(lambda it: it.update(machines=["seabios"])),
    "a machine twice": damage(lambda it: it["machines"].append(it["machines"][0])),
    "required is a list": damage(lambda it: it.update(required=["seabios"])),
    "required is a number": damage(lambda it: it.update(required={"seabios": 1})),
    "a digest that is none": damage(lambda it: it.update(sha256=None)),
    "a verdict that is none": damage(lambda it: it["machines"][0].update(verdict="fine")),
    "a verdict that is true": damage(lambda it: it["machines"][0].update(verdict=True)),
    "no judge": damage(lambda it: it["machines"][0]["proof"].pop("judge")),
    "a judge that is null": damage(lambda it: it["machines"][0]["proof"].update(judge=None)),
    "no proof": damage(lambda it: it["machines"][0].pop("proof")),
    "asked is text": damage(lambda it: it["machines"][0]["proof"].update(asked="ab")),
    "asked is numbers": damage(lambda it: it["machines"][0]["proof"].update(asked=[1, 2])),
    "asked is of three": damage(lambda it: it["machines"][0]["proof"]["asked"].append(["a", "b", "c"])),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_record_that_is_damaged_proves_nothing(image: Path, harm: str) -> None:
    proven(image, SEABIOS)
    path = record_of(image)
    path.write_bytes(HARMS[harm](path.read_bytes()))
    assert not covers(image, SEABIOS)
    assert not Proof.load(image).whole
    assert f"{image} has not been verified: {path} cannot be read (" in objections(image)
    proven(image, SEABIOS)
    assert covers(image, SEABIOS), "and it can be made anew"


@pytest.mark.parametrize("what", ["folder", "pipe", "link to itself", "link into nothing"])
def test_a_record_that_is_no_file_proves_nothing(image: Path, what: str) -> None:
    path = record_of(image)
    make: dict[str, Callable[[], object]] = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link to itself": lambda: path.symlink_to(path),
        "link into nothing": lambda: path.symlink_to("nothing"),
    }
    make[what]()
    assert "has not been verified" in objections(image, SEABIOS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_whatever_stands_in_a_record_is_read_or_proves_nothing(image: Path, data: st.DataObject) -> None:
    """One value of it is another: it is no proof then, or the value is one that decides nothing."""
    proven(image, SEABIOS)
    path = record_of(image)
    content = json.loads(path.read_text())
    places = [
        (content, ("schema", "sha256", "plan", "profile", "required", "machines", "verdict")),
        (content["machines"][0], ("machine", "verdict", "proof", "results")),
        (content["machines"][0]["proof"], ("judge", "asked", "firmware")),
    ]
    where, keys = data.draw(st.sampled_from(places))
    key = data.draw(st.sampled_from(keys))
    value = data.draw(VALUES)
    where[key] = value
    path.write_text(json.dumps(content))
    told = objections(image, SEABIOS)
    decides = {"schema", "sha256", "machines", "machine", "proof", "judge", "asked"} | (
        {"verdict"} if where is content["machines"] else set()
    )
    assert (told != "") or key not in decides
    path.unlink()


def test_a_record_appears_whole_or_not_at_all(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven(image, SEABIOS)
    before = record_of(image).read_bytes()
    proof = booted(image, OVMF)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left on device"):
        proof.save(image)
    assert record_of(image).read_bytes() == before


def test_two_that_save_at_once_lose_nothing(image: Path) -> None:
    """Each has looked before the other has written, as two processes do."""
    proofs = [booted(image, request).asking((SEABIOS, OVMF), plan="", profile="") for request in (SEABIOS, OVMF)]
    barrier = threading.Barrier(2)

    def save(proof: Proof) -> None:
        barrier.wait()
        for _ in range(20):
            proof.save(image)

    threads = [threading.Thread(target=save, args=(proof,)) for proof in proofs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert covers(image, SEABIOS, OVMF)
    assert sorted(path.name for path in image.parent.iterdir()) == ["web.iso", "web.iso.verification.json"]


def test_a_newer_verdict_wins_over_an_older_one(image: Path) -> None:
    proven(image, SEABIOS)
    old = Proof.load(image)
    booted(image, SEABIOS, passed=False).asking((SEABIOS,), plan="", profile="").save(image)
    old.save(image)
    assert "failed its verification" in objections(image), "what was only read before is not news"


def test_it_goes_with_its_image(image: Path) -> None:
    proven(image, SEABIOS)
    withdraw(image)
    withdraw(image)
    assert [path.name for path in image.parent.iterdir()] == ["web.iso"]
