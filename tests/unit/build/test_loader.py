"""GRUB's configuration: what a profile says stays words, and GRUB follows the kernel's serial console."""

from __future__ import annotations

import io
import shlex
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metallize_os import job, loader
from metallize_os.convert import Conversion, ConversionError
from metallize_os.loader import MenuEntry
from metallize_os.tarstream import TarError

ENTRY = MenuEntry(title="my", kernel="/boot/vmlinuz-6.9", initrd="/boot/initrd.img-6.9")


@given(st.text(st.characters(exclude_characters="\0")))
def test_a_quoted_word_is_that_word(word: str) -> None:
    # GRUB's quoting (GRUB manual, Quoting) is the shell's for single quotes.
    assert shlex.split(loader.quote(word)) == [word]


@pytest.mark.parametrize("word", ["console=ttyS0,115200", "root=UUID=1-2", "boot=live", "a/b:c@d%+e"])
def test_a_plain_word_stays_plain(word: str) -> None:
    assert loader.quote(word) == word


@pytest.mark.parametrize("hostile", ["$root", "a;halt", "a{b}", "`x`", '"x', "a\\b", "a'b", "a|b", "a&b", "(hd0)", "*"])
def test_nothing_in_the_command_line_is_a_grub_command(hostile: str) -> None:
    config = loader.configuration([ENTRY], f"quiet {hostile} last", timeout=0)
    (line,) = [line for line in config.splitlines() if line.startswith("  linux ")]
    assert shlex.split(line) == ["linux", ENTRY.kernel, "quiet", hostile, "last"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("console=tty0 console=ttyS0,115200", "--unit=0 --speed=115200"),
        ("console=ttyS1,9600n8", "--unit=1 --speed=9600"),
        ("console=ttyS0", "--unit=0 --speed=115200"),
        ("console=tty0", None),
        ("console=ttyS1 console=ttyS0,9600 console=tty0", "--unit=0 --speed=9600"),
        ("console=tty0 console=ttyS0,115200 console=ttyAMA0,115200", None),
        ("xconsole=ttyS0", None),
        ("", None),
    ],
)
def test_grub_talks_where_the_kernel_talks(params: str, expected: str | None) -> None:
    setup = loader.serial_setup(params)
    assert (f"serial {expected}" in setup) if expected else setup == ""


def test_an_entry_with_a_condition_is_there_only_where_it_holds() -> None:
    entry = MenuEntry(title="a b", kernel="/vmlinuz", initrd="/initrd.img", condition="-e /vmlinuz")
    lines = loader.configuration([entry, ENTRY], "quiet", timeout=3).splitlines()
    assert lines[:2] == ["set default=0", "set timeout=3"]
    assert lines[2:4] == ["if [ -e /vmlinuz ]; then", "  menuentry 'a b' {"]
    assert lines[7] == "fi"
    assert lines[8] == "menuentry my {"


@pytest.fixture
def grub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GRUB's folder with a boot.img that is all 0xAA."""
    (tmp_path / "i386-pc").mkdir()
    (tmp_path / "i386-pc/boot.img").write_bytes(b"\xaa" * 512)
    monkeypatch.setattr(loader, "GRUB", tmp_path)
    return tmp_path


def test_the_bios_loader_is_put_where_boot_img_looks_for_it(grub: Path) -> None:
    image, core = grub / "disk", grub / "core"
    image.write_bytes(b"\x11" * 4096 * 512)
    core.write_bytes(b"\xcc" * 1000)
    loader.install_bios(image, core, at_sector=2048, sectors=2048)
    disk = image.read_bytes()
    assert struct.unpack_from("<Q", disk, 0x5C) == (2048,)
    assert disk[0x66:0x68] == b"\x90\x90"
    assert disk[440:512] == b"\x11" * 72, "the partition table stays"
    assert struct.unpack_from("<Q", disk, 2048 * 512 + 500) == (2049,)
    assert len(disk) == 4096 * 512


def test_a_core_image_that_does_not_fit(grub: Path) -> None:
    (grub / "disk").touch()
    (grub / "core").write_bytes(bytes(1025))
    with pytest.raises(ValueError, match="1025 bytes"):
        loader.install_bios(grub / "disk", grub / "core", at_sector=1, sectors=2)


def test_a_job_is_read_from_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        '{"name": "n", "platform": "linux/amd64", "hostname": "h", "format": "raw", "kernel_boot_params": "", '
        '"options": {}, "ids": {"esp": "ab38bad4-b828-54c9-961f-1c4d7226d59d"}}'
    )
    monkeypatch.setattr("sys.argv", ["build", text])
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    task = job.Job.from_argv()
    assert (task.epoch, task.fat_id("esp")) == (5, "AB38BAD4")


def test_a_tool_that_fails_ends_the_generator_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        job.tool("sh", "-c", "echo too bad >&2; exit 3")
    assert "metallize: ERROR: sh ended with status 3: too bad" in capsys.readouterr().err
    assert job.tool("cat", stdin=b"in") == b"in"


def raises(exc: Exception) -> object:
    raise exc


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (OSError(28, "No space left on device", "/out/image"), "No space left on device: /out/image"),
        (BrokenPipeError(), "a tool stopped reading the rootfs"),
        (ConversionError("no kernel"), "no kernel"),
        (TarError("cut"), "cut"),
    ],
)
def test_what_is_wrong_with_the_rootfs_is_one_clear_message(
    exc: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job.Job, "from_argv", classmethod(lambda _cls: None))
    with pytest.raises(SystemExit):
        job.guarded(lambda _task: raises(exc))
    assert f"metallize: ERROR: {words}" in capsys.readouterr().err


def test_the_seal_and_the_grow_script_parse() -> None:
    root = Path(__file__).resolve().parents[3]
    for script in ("generators/common/seal/seal", "generators/common/metallize_os/grow-root"):
        done = subprocess.run(["sh", "-n", root / script], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr


def test_the_answer_names_the_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "OUT", tmp_path)
    monkeypatch.setattr(
        job, "tool", lambda *_a, **_k: b"mtools 4.0 installed\nxorriso 1.5 config-files\nbash 5 installed\n"
    )
    conversion = Conversion(epoch=1, hostname="x")
    conversion.run(io.BytesIO(_rootfs()), io.BytesIO())
    job.answer(conversion, kernel="6.9", boots_by=("bios",))
    assert '"mtools": "4.0"' in (tmp_path / "result.json").read_text()
    assert "xorriso" not in (tmp_path / "result.json").read_text()


def _rootfs() -> bytes:
    from .test_tarstream import archive, member

    return archive(member("sbin/init", b"x"))
