"""A disk of two systems: where everything is, which one GRUB starts, and what both ends of its count agree on."""

from __future__ import annotations

import re
import struct
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metallize_os import fat, slots, two_systems, uki, verity
from metallize_os.convert import Conversion, ConversionError
from metallize_os.slots import Layout
from metallize_os.two_systems import System
from metallize_os.uki import Section

MIB = 1 << 20
ONE = System(release="web", version="1")


def pe(parts: dict[str, bytes]) -> bytes:
    """A PE file with these sections, each at the next sector, as ukify(1) writes them."""
    header, at, body, table = 0x40, 1024, b"", b""
    optional = struct.pack("<H58xI44xI", 0x20B, at, 16) + bytes(16 * 8)
    for name, content in parts.items():
        padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
        row = struct.pack("<8sIIII", name.encode(), len(content), 0, len(padded), at + len(body))
        table += row.ljust(40, b"\0")
        body += padded
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(parts), 0, 0, 0, len(optional), 0) + optional
    head = (b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", header)).ljust(header, b"\0") + coff + table
    return head.ljust(at, b"\0") + body


def test_the_parts_of_a_kernel_image_are_found_where_they_are() -> None:
    image = pe({".linux": b"k" * 1000, ".initrd": b"i" * 513})
    parts = uki.sections(image)
    assert {name: image[part.offset :][: part.size] for name, part in parts.items()} == {
        ".linux": b"k" * 1000,
        ".initrd": b"i" * 513,
    }
    assert [part.sectors for part in parts.values()] == ["2+2", "4+2"]


@pytest.mark.parametrize("image", [b"", b"MZ", b"\x7fELF".ljust(4096, b"\0"), pe({".linux": b"k"})[:80]])
def test_what_is_no_kernel_image_is_told(image: bytes) -> None:
    with pytest.raises(ValueError, match="PE"):
        uki.sections(image)


def headed(kind: int, at: int, offset: int, size: int) -> bytes:
    """A PE file's headers that tell of a certificate table; `at` is where a header of this kind has its directories."""
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 0, 0, 0, 0, 240, 0)
    optional = struct.pack("<H", kind).ljust(at + 8 * 4, b"\0") + struct.pack("<II", offset, size)
    return head + coff + optional.ljust(240, b"\0")


@pytest.mark.parametrize(("kind", "at"), [(0x20B, 112), (0x10B, 96)])
def test_a_signature_is_where_the_headers_tell(kind: int, at: int) -> None:
    assert uki.signature(headed(kind, at, 4096, 1600)) == Section(offset=4096, size=1600)
    assert uki.signature(headed(kind, at, 0, 0)) is None


@pytest.mark.parametrize("image", [b"", b"MZ".ljust(4096, b"\0"), headed(0x20B, 112, 0, 0)[:150]])
def test_what_can_have_no_signature_is_told(image: bytes) -> None:
    with pytest.raises(ValueError, match="PE"):
        uki.signature(image)


def test_a_part_within_a_sector_is_none_that_grub_can_name() -> None:
    with pytest.raises(ValueError, match="within a sector"):
        _ = Section(offset=100, size=1).sectors


def test_a_root_hash_names_both_partitions() -> None:
    ids = verity.partition_ids("2826597e3dbf0fa1e4405ff72346e785" + "01e2efe750d15303e465e1c6a76bf83b")
    assert ids == ("2826597e-3dbf-0fa1-e440-5ff72346e785", "01e2efe7-50d1-5303-e465-e1c6a76bf83b")


@given(*[st.integers(min_value=64, max_value=1 << 16)] * 3)
def test_no_partition_touches_another_and_each_tree_has_room(esp: int, slot: int, var: int) -> None:
    sizes = Layout(esp=esp * MIB, slot=slot * MIB, var=var * MIB)
    ids = {role: role for role in ("bios", "esp", "root_b", "tree_b", "var")}
    rows = sizes.partitions(ids, "web_1", ("a", "b"))
    ends = [row.start + row.size for row in rows]
    assert [row.start for row in rows] == [slots.BIOS_START, *ends[:-1]]
    assert ends[-1] == sizes.starts()["end"]
    assert all(row.start % MIB == row.size % MIB == 0 for row in rows)
    levels, left = [], sizes.slot // verity.BLOCK
    while left > 1:
        left = -(-left * 32 // verity.BLOCK)
        levels.append(left)
    assert (sum(levels) + 1) * verity.BLOCK <= sizes.tree, "a block of the tree's own, and the digests of each level"


def test_a_new_disk_has_one_system_and_room_for_another() -> None:
    rows = Layout(esp=MIB, slot=MIB, var=MIB).partitions(
        dict.fromkeys(("bios", "esp", "root_b", "tree_b", "var"), ""), "web_1", ("a", "b")
    )
    assert [row.label for row in rows] == ["bios", "esp", "web_1", "web_1", "_empty", "_empty", "var"]


@pytest.mark.parametrize(
    ("release", "version", "words"),
    [("x" * 30, "20261130.1", "41 characters"), ("a+b", "1", "output.name"), ("web", "1+1", "output.name")],
)
def test_a_name_that_updates_cannot_be_told_by(release: str, version: str, words: str) -> None:
    with pytest.raises(ConversionError, match=re.escape(words)):
        slots.label_of(release, version)


def test_a_name_as_long_as_a_partition_takes() -> None:
    assert len(slots.label_of("x" * 25, "20261130.1")) == slots.LABEL_CHARACTERS


@pytest.mark.parametrize(
    ("root", "tree", "kernel", "words"),
    [
        (101 * MIB, MIB, MIB, "output.options.slot to 151M"),
        (MIB, 9 * MIB, MIB, "output.options.slot"),
        (100 * MIB, MIB, 32 * MIB, "output.options.esp to 104M"),
        (100 * MIB, 2 * MIB, 30 * MIB, ""),
    ],
)
def test_what_does_not_fit_is_told_with_the_option_to_change(root: int, tree: int, kernel: int, words: str) -> None:
    sizes = Layout(esp=100 * MIB, slot=100 * MIB, var=MIB)
    expected = pytest.raises(ConversionError, match=re.escape(words)) if words else nullcontext()
    with expected:
        slots.require_room(sizes, root=root, tree=tree, uki=kernel)


def test_a_cluster_is_where_the_boot_sector_says() -> None:
    sector = bytearray(512)
    sector[11:17] = struct.pack("<HBHB", 512, 8, 32, 2)
    sector[36:40] = struct.pack("<I", 1024)
    assert fat.cluster_at(bytes(sector), 2) == 512 * (32 + 2 * 1024)
    assert fat.cluster_at(bytes(sector), 5) == 512 * (32 + 2 * 1024 + 3 * 8)


def test_the_system_says_its_name_and_version_once() -> None:
    told = two_systems.named('ID=debian\nIMAGE_VERSION="0"\nPRETTY_NAME="Debian"\n', ONE)
    assert told == 'ID=debian\nPRETTY_NAME="Debian"\nIMAGE_ID="web"\nIMAGE_VERSION="1"\n'


def test_a_layer_is_needed_to_mount_it() -> None:
    with pytest.raises(ConversionError, match=re.escape("debian-ab.dockerfile")):
        list(two_systems.additions(Conversion(epoch=0, hostname="h"), ONE, {}))


def started(folder: Path, environment: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Which system GRUB starts with these files and this environment, and what the environment is then.

    GRUB's script is the shell's, but for `set` and its own commands.
    """
    script = two_systems.grub_config(ONE, "console=tty0")
    script = (
        re.sub(r"\bset (\w+)=", r"\1=", script)
        .replace('="/EFI', f'="{folder}/EFI')
        .replace('="/grub', f'="{folder}/grub')
    )
    own = (
        f"load_env() {{ . {folder}/env; }}\n"
        f'save_env() {{ eval "echo $1=\\$$1" >>{folder}/env; }}\n'
        "loopback() { :; }\nsource() { . $1; }\nboot() { echo started; exit; }\nsleep() { :; }\nreboot() { exit; }\n"
    )
    (folder / "env").write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
    done = subprocess.run(["bash", "-c", own + script], check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    left = dict(line.split("=") for line in (folder / "env").read_text().splitlines())
    return (lines[-2].removeprefix("system ") if lines[-1] == "started" else ""), left


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    """The boot partition with two systems, the second as an update leaves it."""
    for end, version in ((".efi", "1"), ("+3-0.efi", "2")):
        for name, text in (
            (f"EFI/Linux/web_{version}{end}", ""),
            (f"grub/systems/web_{version}.cfg", f"echo system {version}\n"),
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
    return tmp_path


def test_grub_tries_a_new_system_three_times_and_then_goes_back(esp: Path) -> None:
    environment, seen = {"good": "1", "next": "2", "left": "3"}, []
    for _ in range(5):
        system, environment = started(esp, environment)
        seen.append(system)
    assert seen == ["2", "2", "2", "1", "1"]


@pytest.mark.parametrize(
    ("environment", "system"), [({"good": "1"}, "1"), ({"good": "2", "next": "", "left": ""}, "2")]
)
def test_grub_starts_the_good_system(esp: Path, environment: dict[str, str], system: str) -> None:
    assert started(esp, environment) == (system, environment)


@pytest.mark.parametrize("gone", ["EFI/Linux/web_2+3-0.efi", "grub/systems/web_2.cfg"])
def test_grub_starts_the_good_system_where_the_new_one_is_not_whole(esp: Path, gone: str) -> None:
    (esp / gone).unlink()
    assert started(esp, {"good": "1", "next": "2", "left": "3"})[0] == "1"


def test_grub_starts_nothing_else_where_nothing_is(esp: Path) -> None:
    assert started(esp, {"good": "7", "next": "8", "left": "3"})[0] == ""


def test_an_environment_block_is_grubs_and_counts_in_its_first_sector() -> None:
    block = two_systems.first_environment(ONE)
    assert len(block) == 1024
    assert block.startswith(b"# GRUB Environment Block\ngood=1\nnext=1\nleft=3\n#")
    assert set(block[512:]) == {ord("#")}
    with pytest.raises(ValueError, match="one sector"):
        two_systems.environment(good="1" * 500)


def test_what_grub_reads_of_a_system_is_no_command_of_grubs() -> None:
    text = two_systems.grub_system("a=$root b;halt", Section(1024, 1000), Section(2048, 513))
    assert text == "linux (uki)2+2 'a=$root' 'b;halt'\ninitrd (uki)4+2\n"


def test_the_kernel_is_what_an_update_puts_in_place_last() -> None:
    made = dict(two_systems.transfers(ONE, "https://example.com/%41", verified=True))
    assert list(made) == sorted(made)
    assert [re.findall(r"MatchPattern=(\S+)", text)[0] for text in made.values()] == [
        "web_@v_%a_@u.verity",
        "web_@v_%a_@u.root",
        "web_@v_%a.grub",
        "web_@v_%a.efi",
    ]
    assert all("Verify=yes\n" in text and "Path=https://example.com/%%41\n" in text for text in made.values())
    assert all(text.count("PartitionFlags=0\nReadOnly=1\n") == 1 for text in list(made.values())[:2])


def test_every_name_that_a_kernel_has_on_its_way_is_one_that_grub_knows() -> None:
    counted = {f"+{left}-{two_systems.TRIES - left}.efi" for left in range(two_systems.TRIES + 1)}
    assert counted | {".efi", f"+{two_systems.TRIES}.efi"} == set(two_systems.ENDS)
    assert ONE.kernel == "/EFI/Linux/web_1.efi"


def test_with_no_url_an_update_is_what_somebody_has_put_into_a_folder() -> None:
    made = dict(two_systems.transfers(ONE, "", verified=True))
    assert all(
        "[Source]\nType=regular-file\nPath=/var/lib/updates\nMatchPattern=web_@v_%a" in text for text in made.values()
    )
