"""Images that name other files: those beside them are theirs, all others are refused and never opened by QEMU."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metallize.command import run
from metallize.errors import MetallizeError, UsageError
from metallize.files.image_format import cut_short, format_of
from metallize.model.profile import ImageFormat
from metallize.qemu.chain import chain_of, graph
from tests.conftest import Cli
from tests.laws import cases

MIB = 1 << 20
BACKING_FORMAT, DATA_FILE = 0xE2792ACA, 0x44415441


def qcow2(backing: bytes = b"", backing_format: bytes = b"", data_file: bytes | None = None) -> bytes:
    """The header of a qcow2 (docs/interop/qcow2.txt), with what it names."""
    extensions = b""
    for kind, text in ((BACKING_FORMAT, backing_format), (DATA_FILE, data_file or b"")):
        if text:
            extensions += struct.pack(">II", kind, len(text)) + text + bytes(-len(text) % 8)
    extensions += bytes(8)
    at = 104 + len(extensions)
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, at if backing else 0, len(backing), 16, MIB)
    header += struct.pack(">IIQQIIQ", 0, 1, 3 << 16, 1 << 16, 1, 0, 0)
    header += struct.pack(">QQQII", 4 if data_file is not None else 0, 0, 0, 4, 104)
    return (header + extensions + backing).ljust(4 << 16, b"\0")


def vmdk(descriptor: bytes, capacity: int = 2048) -> bytes:
    return struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, capacity, 128, 1, 20).ljust(512, b"\0") + descriptor.ljust(
        10240, b"\0"
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The image's folder; a victim stands beside it, and links in it lead there."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "victim").write_bytes(b"SECRET".ljust(MIB, b"\0"))
    (folder / "link").symlink_to(tmp_path / "victim")
    (folder / "loop").symlink_to("loop")
    (folder / "up").symlink_to("..")
    (folder / "base.raw").write_bytes(bytes(MIB))
    return folder


OUTSIDE = [b"../victim", b"link", b"up/victim", b"/etc/passwd", b"/dev/null", b"loop", b"."]
PROTOCOLS = [
    b"nbd://127.0.0.1:10809", b"nbd:unix:/run/x", b"ssh://h/x", b"https://127.0.0.1/x", b"fat:rw:/",
    b"host_device:/dev/sda",
    b'json:{"driver":"file","filename":"/etc/passwd"}', b"file:base.raw", b"blkdebug::base.raw", b"a\x1bb", b"a\0b",
]  # fmt: skip


@pytest.mark.parametrize("name", [*OUTSIDE, *PROTOCOLS])
@pytest.mark.parametrize("how", ["backing", "data", "parent"])
def test_what_is_outside_is_refused(home: Path, name: bytes, how: str) -> None:
    image = home / "image"
    content = {
        "backing": qcow2(name, b"raw"),
        "data": qcow2(data_file=name),
        "parent": vmdk(b'parentFileNameHint="' + name + b'"'),
    }
    image.write_bytes(content[how])
    with pytest.raises(UsageError) as caught:
        chain_of(image, format_of(image))
    said = name.decode().split('"')[0]  # where it ends in a VMDK
    assert (said if said.isprintable() else ascii(said)) in str(caught.value), "the message says which file"
    assert str(caught.value).isprintable()


def test_what_is_beside_it_is_its_own_and_no_header_is_asked(home: Path) -> None:
    (home / "data").write_bytes(bytes(MIB))
    (home / "mid").write_bytes(qcow2(b"base.raw", b"raw"))
    (home / "image").write_bytes(qcow2(b"mid", b"qcow2", data_file=b"data"))
    layers = chain_of(home / "image", ImageFormat.QCOW2)
    assert [(each.path.name, each.driver) for each in layers] == [
        ("image", "qcow2"),
        ("mid", "qcow2"),
        ("base.raw", "raw"),
    ]
    assert layers[0].data == home / "data"
    assert '"backing":{"driver":"qcow2"' in graph(layers)
    assert graph(layers[2:]) == f'json:{{"driver":"raw","file":{{"driver":"file","filename":"{home}/base.raw"}}}}'


def test_qemu_opens_nothing_but_what_it_is_told(home: Path, tmp_path: Path) -> None:
    """As if our reading of the header had missed the name in it: QEMU does not follow it all the same."""
    image = home / "image"
    run(("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", tmp_path / "victim", image))
    alone = f'json:{{"driver":"qcow2","file":{{"driver":"file","filename":"{image}"}},"backing":null}}'
    run(("qemu-img", "convert", "-O", "raw", alone, tmp_path / "out"))
    assert b"SECRET" not in (tmp_path / "out").read_bytes()
    run(("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, tmp_path / "out"))
    assert b"SECRET" in (tmp_path / "out").read_bytes(), "which is what it does by itself"


def test_an_image_on_itself_has_an_end(home: Path) -> None:
    (home / "a").write_bytes(qcow2(b"b", b"qcow2"))
    (home / "b").write_bytes(qcow2(b"a", b"qcow2"))
    with pytest.raises(UsageError, match="or on itself"):
        chain_of(home / "a", ImageFormat.QCOW2)


def test_a_vmdk_that_is_a_list_of_files_is_refused(home: Path) -> None:
    (home / "image").write_bytes(vmdk(b'RW 2048 FLAT "/etc/passwd" 0\n', capacity=0))
    with pytest.raises(UsageError, match="whose content is in other files"):
        chain_of(home / "image", ImageFormat.VMDK)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["verify", "flash", "boot"])
def test_the_command_line_refuses_it_with_exit_2(home: Path, tmp_path: Path, cli: Cli, verb: str) -> None:
    (home / "image.qcow2").write_bytes(qcow2(b"../victim", b"raw"))
    image, to = home / "image.qcow2", ("--build-dir", tmp_path / "build")
    words = {
        "verify": ("verify", "--image", image, *to),
        "boot": ("boot", image, *to),
        "flash": ("flash", image, tmp_path / "to.img"),
    }
    done = cli(*words[verb])
    assert done.status == 2, done.stderr
    assert "../victim" in done.stderr
    assert not (tmp_path / "to.img").exists()
    assert (tmp_path / "victim").read_bytes().startswith(b"SECRET")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["-foo.img", "nbd:foo.img", "fat:x", "json:{}", "x@@1M"])
def test_a_name_is_a_files_name_whatever_it_looks_like(home: Path, cli: Cli, name: str) -> None:
    (home / name).write_bytes(b"QFI\xfb" + bytes(600))
    done = cli("verify", f"--image={name}", cwd=home, env={"PYTHONPATH": str(Path(__file__).parents[3])})
    assert done.status == 2
    assert "no qcow2 of version 2 or 3" in done.stderr, "the file was read"


@settings(max_examples=cases(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.sampled_from([b"QFI\xfb\0\0\0\2", b"QFI\xfb\0\0\0\3", b"KDMV", b"vhdxfile", bytes(512) + b"EFI PART", b""]),
    rest=st.binary(max_size=700),
    pad=st.sampled_from([0, 0x8200]),
)
def test_any_bytes_are_an_image_or_refused(tmp_path: Path, head: bytes, rest: bytes, pad: int) -> None:
    image = tmp_path / "image"
    image.write_bytes((head + rest).ljust(pad, b"\0") + (b"\1CD001" + rest if pad else b""))
    try:
        image_format = format_of(image)
        cut_short(image, image_format)
        if image_format is not ImageFormat.TAR:
            chain_of(image, image_format)
    except MetallizeError:
        pass
