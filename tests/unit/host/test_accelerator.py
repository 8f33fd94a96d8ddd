"""The choice of the accelerator, from recorded runs of the probe; and the probe's own bytes."""

from __future__ import annotations

import os
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.host import accelerator
from metallize.host.accelerator import Choice, ProbeResult, judge_probe
from metallize.machines import seabios
from metallize.model.report import AcceleratorUse

SAID = [
    (1.0, "probe: protected mode"),
    (1.1, "probe: long mode"),
    (1.2, "probe: x87"),
    (2.0, "probe: loop"),
    (2.3, "probe: end of loop"),
    (3.0, "probe: loop"),
    (3.1, "probe: end of loop"),
    (4.0, "probe: done"),
]
DUMP = "warning: host doesn't support requested feature: pni [bit 0]\nKVM internal error. Suberror: 1\nRAX=0\n"


def test_the_bytes_are_those_of_the_source(tmp_path: Path) -> None:
    folder = files("metallize.host")
    source = tmp_path / "probe.S"
    source.write_bytes(folder.joinpath("probe.S").read_bytes())
    built = tmp_path / "probe.bin"
    subprocess.run(["as", "--64", str(source), "-o", str(tmp_path / "probe.o")], check=True)
    subprocess.run(
        [
            "ld",
            "-m",
            "elf_x86_64",
            "-Ttext=0x100000",
            "--oformat",
            "binary",
            str(tmp_path / "probe.o"),
            "-o",
            str(built),
        ],
        check=True,
    )
    assert built.read_bytes() == folder.joinpath("probe.bin").read_bytes()


@pytest.mark.parametrize(("name", "words"), [("probe-aarch64.bin", ()), ("probe-virt.bin", ("--defsym", "VIRT=1"))])
def test_the_bytes_for_arm64_are_those_of_the_source(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    folder = files("metallize.host")
    source, made, built = tmp_path / "probe.S", tmp_path / "probe.o", tmp_path / name
    source.write_bytes(folder.joinpath("probe-aarch64.S").read_bytes())
    subprocess.run(["aarch64-linux-gnu-as", *words, source, "-o", made], check=True)
    subprocess.run(["aarch64-linux-gnu-objcopy", "-O", "binary", "-j", ".text", made, built], check=True)
    assert built.read_bytes() == folder.joinpath(name).read_bytes()


@pytest.mark.parametrize(
    ("load", "waiting", "busy"),
    [(0.5, 3.0, 1.0), (1.4, 9.0, 1.4), (8.0, 9.0, 4.0), (8.0, 1.0, 1.5), (8.0, 2.0, 3.0), (1.2, 1.0, 1.2)],
)
def test_a_load_that_gives_way_to_us_does_not_count(
    load: float, waiting: float, busy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load * (os.cpu_count() or 1), 0.0, 0.0))
    monkeypatch.setattr(accelerator, "_kept_waiting", lambda: waiting)
    assert accelerator.busyness() == pytest.approx(busy)


def test_a_thread_is_kept_waiting_for_no_less_than_its_own_time() -> None:
    assert 0.9 < accelerator._kept_waiting() <= 100


def test_a_probe_that_ends_tells_the_shortest_loop() -> None:
    result = judge_probe(SAID, 33, "", done=33)
    assert result.problem == ""
    assert result.loop_seconds == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("lines", "status", "messages", "problem"),
    [
        (3, None, DUMP, "KVM internal error. Suberror: 1 at x87"),
        (0, 134, "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n", "failed to set MSR 0x10a to 0x69"),
        (2, None, "", "the probe guest hung at long mode"),
        (0, None, "", "the probe guest hung at its first instruction"),
        (8, 1, "", "QEMU ended with status 1 at done"),
    ],
)
def test_a_probe_that_does_not_end_says_where(lines: int, status: int | None, messages: str, problem: str) -> None:
    assert judge_probe(SAID[:lines], status, messages, done=33).problem == problem


def test_a_wrong_result_is_a_problem() -> None:
    said = [*SAID[:3], (2.0, "probe: wrong result")]
    assert judge_probe(said, 35, "", done=33).problem == "the probe guest got a wrong result at x87"


class Probes:
    """Answers in place of QEMU, and counts."""

    def __init__(self, **answers: ProbeResult) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, _machine: object, name: str, cpu: str) -> ProbeResult:
        self.asked.append(f"{name} {cpu}")
        return self.answers.get(f"{name}_{cpu}") or self.answers[name]


GOOD = ProbeResult(problem="", loop_seconds=0.001)
SLOW = ProbeResult(problem="", loop_seconds=0.06)
BAD = ProbeResult(problem="failed to set MSR 0x10a")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host with a QEMU that tells its version and a /dev/kvm that opens."""
    monkeypatch.setattr(accelerator, "KVM", Path("/dev/null"))
    monkeypatch.setattr(accelerator, "kvm_absence", lambda _machine: "")
    monkeypatch.setattr(accelerator, "busyness", lambda: 1.0)
    fake = tmp_path / "bin" / "qemu-system-x86_64"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho QEMU emulator version 9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    return tmp_path


def choose(host: Path, probes: Probes, monkeypatch: pytest.MonkeyPatch, choice: Choice = Choice.AUTO) -> AcceleratorUse:
    monkeypatch.setattr(accelerator, "probe", probes)
    return accelerator.choose(seabios.MACHINE, choice, cache_folder=host / "cache")


def test_a_kvm_that_works_is_taken(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = choose(host, Probes(kvm=GOOD), monkeypatch)
    assert (use.name, use.cpu, use.slowness, use.cached) == ("kvm", "host", 1.0, False)


def test_a_kvm_that_works_with_another_cpu_is_taken(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = choose(host, Probes(kvm_host=BAD, kvm=GOOD), monkeypatch)
    assert (use.name, use.cpu) == ("kvm", "qemu64")
    assert "failed to set MSR" in use.reason


def test_a_kvm_that_does_not_work_gives_way_with_its_reason_and_cost(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use = choose(host, Probes(kvm=BAD, tcg=SLOW), monkeypatch)
    assert (use.name, use.slowness) == ("tcg", 4.0)
    assert "/dev/kvm is there, but does not run a guest (-cpu host: failed to set MSR 0x10a" in use.reason


def test_the_answer_is_kept(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(host, Probes(kvm=GOOD), monkeypatch)
    again = Probes()
    second = choose(host, again, monkeypatch)
    assert not again.asked
    assert second.cached
    assert second.name == first.name
    accelerator.forget(seabios.MACHINE, cache_folder=host / "cache")
    assert choose(host, Probes(kvm=BAD, tcg=SLOW), monkeypatch).name == "tcg"


@pytest.mark.parametrize(
    "slowness", ["NaN", "Infinity", "1e999", "0", "-1.0", "1e9", "true", '"4"', "null", "[4]", "9" * 5000]
)
def test_a_slowness_that_no_host_has_is_measured_again(
    host: Path, monkeypatch: pytest.MonkeyPatch, slowness: str
) -> None:
    """No wait would have an end with it, or each would be over before it begins."""
    choose(host, Probes(kvm=SLOW), monkeypatch)
    [kept] = (host / "cache").glob("accelerator-*.json")
    text = kept.read_text()
    assert '"slowness": 4.0' in text
    kept.write_text(text.replace('"slowness": 4.0', f'"slowness": {slowness}'))
    again = Probes(kvm=SLOW)
    use = choose(host, again, monkeypatch)
    assert (use.slowness, use.cached, len(again.asked)) == (4.0, False, 1)
    assert choose(host, Probes(), monkeypatch).cached, "and what was measured is kept"


def test_kvm_that_was_asked_for_and_fails_is_an_error(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HostError, match="KVM cannot run a guest on this host: -cpu host: failed to set MSR"):
        choose(host, Probes(kvm=BAD), monkeypatch, Choice.KVM)


def test_tcg_that_was_asked_for_is_not_argued_with(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = Probes(tcg=SLOW)
    assert choose(host, probes, monkeypatch, Choice.TCG).reason == "TCG was asked for"
    assert all(asked.startswith("tcg") for asked in probes.asked)


def test_no_qemu_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="`qemu-system-x86_64` is not installed"):
        accelerator.choose(seabios.MACHINE, cache_folder=tmp_path)
