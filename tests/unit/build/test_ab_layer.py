"""The scripts of layers/debian-ab, run over a folder: GRUB's note of what to start, and /var made of the image's."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from metallize_os import two_systems
from metallize_os.two_systems import System

from tests.conftest import ROOT

pytestmark = pytest.mark.slow  # the scripts start many programs
LAYER = ROOT / "layers" / "debian-ab"
COMPARE = """#!{python}
import sys
sys.path.insert(0, {root!r})
from metallize.release.naming import compare
_, one, _, other = sys.argv[1:]
sys.exit(compare(one, other) <= 0)
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """One that runs a version, with its ESP in a folder."""

    folder: Path
    running: str
    efi: bool

    def say(self, word: str) -> str:
        """What boot-choice prints."""
        release = self.folder / "os-release"
        release.write_text(two_systems.named("ID=debian\n", System("web", self.running)))
        path = self.folder / "bin"
        path.mkdir(exist_ok=True)
        fake = path / "systemd-analyze"
        fake.write_text(COMPARE.format(python=sys.executable, root=str(ROOT)))
        fake.chmod(0o755)
        env = {
            "PATH": f"{path}:{os.environ['PATH']}",
            "METALLIZE_ESP": str(self.folder),
            "METALLIZE_OS_RELEASE": str(release),
            "METALLIZE_EFI": str(self.folder if self.efi else self.folder / "no"),
            "METALLIZE_REBOOT": "echo reboot",
        }
        return subprocess.run(
            ["sh", LAYER / "boot-choice", word], check=True, capture_output=True, text=True, env=env
        ).stdout

    @property
    def noted(self) -> str:
        lines = (self.folder / "grub/grubenv").read_text().splitlines()
        return " ".join(line for line in lines if "=" in line)

    def has(self, *kernels: str) -> None:
        for name in kernels:
            (self.folder / "EFI/Linux").mkdir(parents=True, exist_ok=True)
            (self.folder / "EFI/Linux" / f"web_{name}.efi").write_text("kernel")
            (self.folder / "grub/systems").mkdir(parents=True, exist_ok=True)
            (self.folder / f"grub/systems/web_{name.partition('+')[0]}.cfg").write_text("linux")


@pytest.fixture
def bios(tmp_path: Path) -> Machine:
    (tmp_path / "grub").mkdir()
    (tmp_path / "grub/grubenv").write_bytes(two_systems.environment(good="1", next="1", left="2"))
    machine = Machine(folder=tmp_path, running="1", efi=False)
    machine.has("1+3-0")
    return machine


def test_what_has_come_up_is_kept(bios: Machine) -> None:
    assert bios.say("good") == "1 is the system to start\n"
    assert bios.noted == "good=1 next= left= bad="
    block = (bios.folder / "grub/grubenv").read_bytes()
    assert len(block) == two_systems.ENVIRONMENT_BYTES, "GRUB takes no other size"
    assert block == two_systems.environment(good="1", next="", left="", bad="")


def test_the_newest_system_is_tried_next(bios: Machine) -> None:
    bios.say("good")
    assert bios.say("next") == "", "there is no other"
    bios.has("2+3-0", "10+3-0", "9+3-0")
    assert bios.say("next") == "10 is tried on the next start\n"
    assert bios.noted == "good=1 next=10 left=3 bad="


def test_a_system_that_is_tried_keeps_its_count(bios: Machine) -> None:
    bios.has("2+3-0")
    (bios.folder / "grub/grubenv").write_bytes(two_systems.environment(good="1", next="2", left="0"))
    assert bios.say("next") == ""
    assert bios.noted == "good=1 next=2 left=0"


@pytest.mark.parametrize("gone", ["EFI/Linux/web_2+3-0.efi", "grub/systems/web_2.cfg"])
def test_a_system_that_is_not_whole_is_not_tried(bios: Machine, gone: str) -> None:
    bios.has("2+3-0")
    (bios.folder / gone).unlink()
    assert bios.say("next") == ""


def test_no_older_system_is_tried(bios: Machine) -> None:
    bios.has("0.9+3-0")
    assert bios.say("next") == ""


@pytest.mark.parametrize(
    ("good", "next_", "left", "again"),
    [
        ("1", "2", "2", True),
        ("1", "2", "0", True),
        ("2", "2", "1", True),
        ("2", "2", "0", False),
        ("2", "", "", False),
        ("2", "3", "0", False),
    ],
)
def test_grub_is_asked_again_where_that_leads_elsewhere(
    bios: Machine, good: str, next_: str, left: str, *, again: bool
) -> None:
    (bios.folder / "grub/grubenv").write_bytes(two_systems.environment(good=good, next=next_, left=left))
    said = Machine(folder=bios.folder, running="2", efi=False).say("failed")
    assert (said.splitlines()[-1] == "reboot") is again


@pytest.mark.parametrize(
    ("kernels", "again"),
    [
        (["2+2-1"], True),
        (["2+0-3"], False),
        (["1", "2+0-3"], True),
        (["1+0-3", "2+0-3"], False),
        (["1", "2"], False),
    ],
)
def test_systemd_boot_is_asked_again_where_that_leads_elsewhere(
    tmp_path: Path, kernels: list[str], *, again: bool
) -> None:
    machine = Machine(folder=tmp_path, running="2", efi=True)
    machine.has(*kernels)
    assert (machine.say("failed").splitlines()[-1] == "reboot") is again


def test_under_uefi_grub_is_told_nothing(tmp_path: Path) -> None:
    machine = Machine(folder=tmp_path, running="2", efi=True)
    machine.has("2")
    assert machine.say("good") == "2 is the system to start\n"
    assert machine.say("next") == ""
    assert not (tmp_path / "grub/grubenv").exists()


def test_what_was_tried_in_vain_is_said_and_not_tried_again(bios: Machine) -> None:
    bios.has("2+3-0")
    (bios.folder / "grub/grubenv").write_bytes(two_systems.environment(good="1", next="2", left="0"))
    words = "1 is the system to start\n2 has not come up, and is not tried any more\n"
    assert bios.say("good") == words
    assert bios.noted == "good=1 next= left= bad=2"
    assert bios.say("next") == ""
    assert bios.say("good") == words, "on each start"
    bios.has("3+3-0")
    assert bios.say("next") == "3 is tried on the next start\n"
    assert bios.noted == "good=1 next=3 left=3 bad=2"


@pytest.mark.parametrize("efi", [False, True])
@pytest.mark.parametrize("name", ["EFI/Linux/web_2+3-0.efi", "grub/systems/web_2.cfg"])
def test_what_a_power_cut_left_empty_is_no_update(tmp_path: Path, bios: Machine, name: str, efi: bool) -> None:
    machine = Machine(folder=bios.folder, running="1", efi=efi)
    machine.has("2+3-0")
    empty = tmp_path / name
    empty.write_bytes(b"")
    machine.say("next")
    assert "next=2" not in machine.noted
    assert f"{empty.name} was empty, and is removed" in machine.say("good")
    assert "next=2" not in machine.noted
    assert not empty.exists()
    assert len(list((tmp_path / "EFI/Linux").iterdir()) + list((tmp_path / "grub/systems").iterdir())) == 3
    assert "is removed" not in machine.say("good")


def test_a_system_of_which_grub_was_not_told_is_tried_still(bios: Machine) -> None:
    bios.say("good")
    bios.has("2+3-0")
    assert "2 is tried on the next start" in bios.say("good")
    assert "next=2 left=3" in bios.noted
    assert "2 is tried" not in bios.say("good"), "it is noted already"


def test_a_system_that_comes_up_after_all_is_bad_no_more(bios: Machine) -> None:
    block = two_systems.environment(good="1", next="", left="", bad="2")
    (bios.folder / "grub/grubenv").write_bytes(block)
    assert Machine(folder=bios.folder, running="2", efi=False).say("good") == "2 is the system to start\n"
    assert bios.noted == "good=2 next= left= bad="


def test_a_system_that_nobody_has_tried_yet_is_tried_still(bios: Machine) -> None:
    (bios.folder / "grub/grubenv").write_bytes(two_systems.environment(good="1", next="2", left="3"))
    assert bios.say("good") == "1 is the system to start\n"
    assert bios.noted == "good=1 next=2 left=3 bad="


def test_under_uefi_the_names_say_what_was_tried_in_vain(tmp_path: Path) -> None:
    machine = Machine(folder=tmp_path, running="1", efi=True)
    machine.has("1", "2~rc1+0-3", "3+2-1")
    assert machine.say("good") == "1 is the system to start\n2~rc1 has not come up, and is not tried any more\n"


class Kept:
    """An image's folders, and the partition of what is kept."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "image", folder / "place"
        self.place.mkdir()
        for name in ("var/lib/dpkg", "var/log", "home/admin", "root", "srv"):
            (self.image / name).mkdir(parents=True)
        self.put("var/lib/dpkg/status", "packages")
        self.put("var/lib/app/old", "of the image")
        self.put("home/admin/.profile", "of the image")
        (self.image / "var/run").symlink_to("/run")

    def put(self, name: str, text: str) -> None:
        (self.image / name).parent.mkdir(parents=True, exist_ok=True)
        (self.image / name).write_text(text)

    def boot(self, image: str) -> None:
        argv: list[str | Path] = ["sh", LAYER / "var-from-image", self.place, image]
        subprocess.run(argv, check=True, env={"PATH": os.environ["PATH"], "METALLIZE_ROOT": str(self.image)})

    def told(self, name: str) -> str:
        return (self.place / name).read_text()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_the_first_boot_fills_what_is_kept(kept: Kept) -> None:
    kept.boot("a")
    assert kept.told("lib/app/old") == kept.told("home/admin/.profile") == "of the image"
    assert (kept.place / "run").is_symlink()
    assert list((kept.place / "lib/dpkg").iterdir()) == [], "the image's own is mounted there"
    assert kept.told("lib/metallize/image") == "a\n"


def test_a_copy_that_was_cut_off_is_made_again(kept: Kept) -> None:
    (kept.place / "lib/app").mkdir(parents=True)
    (kept.place / "lib/app/old").write_text("of the")
    kept.boot("a")
    assert kept.told("lib/app/old") == "of the image"


def test_a_later_image_adds_and_changes_nothing(kept: Kept) -> None:
    kept.boot("a")
    (kept.place / "lib/app/old").write_text("of the machine")
    (kept.place / "lib/app").chmod(0o700)
    (kept.place / "lib/metallize/new/left").mkdir(parents=True)  # of a merge that was cut off
    kept.put("var/lib/app/old", "of the next image")
    kept.put("var/lib/new/file", "of the next image")
    (kept.image / "var/lib/new").chmod(0o750)
    kept.boot("b")
    assert kept.told("lib/app/old") == "of the machine"
    assert (kept.place / "lib/app").stat().st_mode & 0o777 == 0o700
    assert kept.told("lib/new/file") == "of the next image"
    assert (kept.place / "lib/new").stat().st_mode & 0o777 == 0o750
    assert not (kept.place / "lib/metallize/new").exists()
    assert kept.told("lib/metallize/image") == "b\n"


def test_an_image_is_put_there_once(kept: Kept) -> None:
    kept.boot("a")
    (kept.place / "lib/app/old").unlink()
    kept.boot("a")
    assert not (kept.place / "lib/app/old").exists()


def test_what_became_another_kind_of_thing_stays(kept: Kept) -> None:
    kept.boot("a")
    (kept.place / "srv").rmdir()
    (kept.place / "srv").symlink_to("lib")
    kept.boot("b")
    assert (kept.place / "srv").is_symlink()


def test_a_half_of_the_root_hash_is_a_uuid_whatever_files_there_are(tmp_path: Path) -> None:
    text = (LAYER / "initrd-verity").read_text()
    function = text[text.index("uuid() {") : text.index("\n}\n", text.index("uuid() {")) + 3]
    (tmp_path / "root").touch()
    (tmp_path / "whatever").touch()
    said = subprocess.run(
        ["sh", "-c", f"{function}uuid cfaa4d09490e7ba03cc64e712efe79e6"],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert said.stdout == "cfaa4d09-490e-7ba0-3cc6-4e712efe79e6\n"
