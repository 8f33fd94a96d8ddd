"""Which kernel of a rootfs is booted, what is held back of it, and what the manifest tells of it all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metallize_os import facts
from metallize_os.aside import Aside
from metallize_os.convert import Conversion, ConversionError
from metallize_os.tarstream import TarError

from tests.unit.build.test_conversion import INIT, converted

from .test_tarstream import Format, archive, member

EPOCH = 1_700_000_000


def kernels(*names: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member(f"boot/{name}", b"x") for name in names]


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (("vmlinuz-6.12.9-amd64", "initrd.img-6.12.9-amd64"), "6.12.9-amd64"),
        (("vmlinuz-6.9", "initrd.img-6.9", "vmlinuz-6.12", "initrd.img-6.12"), "6.12"),
        (("vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"), "6.1.0-9-amd64"),
        (("vmlinux-6.1-ppc", "initrd.img-6.1-ppc"), "6.1-ppc"),
    ],
)
def test_the_newest_kernel_with_an_initrd_is_booted(names: tuple[str, ...], newest: str) -> None:
    conversion, _ = converted(*kernels(*names))
    assert conversion.newest_kernel() == newest


def test_a_kernel_without_an_initrd_and_none_at_all() -> None:
    with pytest.raises(ConversionError, match=r"/boot/vmlinuz-6\.9 has no /boot/initrd\.img-6\.9 beside it"):
        converted(*kernels("vmlinuz-6.9"))[0].newest_kernel()
    with pytest.raises(ConversionError, match="has no kernel"):
        converted()[0].newest_kernel()


def test_kernels_and_initrds_can_be_held_back(tmp_path: Path) -> None:
    members = [member("boot/vmlinuz-6.9", b"k" * 700), member("boot/initrd.img-6.9", b"i")]
    _, result = converted(*members, member("boot/config-6.9", b"c"), aside=Aside(tmp_path))
    assert held(tmp_path) == {"vmlinuz-6.9": b"k" * 700, "initrd.img-6.9": b"i"}
    assert "boot/vmlinuz-6.9" not in result
    assert "boot/config-6.9" in result


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hard_link(name: str, target: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE, linkname=target, **fields)


KERNEL_BYTES = bytes(range(256)) * 5
LONG = f"boot/{'long' * 50}"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["boot/vmlinuz", "srv/tftp/kernel", "vmlinuz", LONG, "boot/käse, 1"])
@pytest.mark.parametrize("prefix", ["", "./", "/"])
def test_a_hard_link_to_what_is_held_back_becomes_a_file(tmp_path: Path, name: str, prefix: str, form: Format) -> None:
    if form == tarfile.USTAR_FORMAT and name == LONG:
        pytest.skip("no name is so long there")
    link = hard_link(name, f"{prefix}boot/vmlinuz-6.9", mode=0o600, uid=7, mtime=EPOCH + 9)
    members = [member("boot/vmlinuz-6.9", KERNEL_BYTES), member("boot/initrd.img-6.9", b"i"), link]
    again = hard_link("z/again", "boot/vmlinuz-6.9")
    source = io.BytesIO(archive(member("sbin/init", b"x"), *members, again, form=form))
    sink = io.BytesIO()
    conversion = Conversion(epoch=EPOCH, hostname="x", aside=Aside(tmp_path))
    conversion.run(source, sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        for each in (name, "z/again"):
            info = tar.getmember(each)
            file = tar.extractfile(info)
            assert info.isreg()
            assert file is not None
            assert file.read() == KERNEL_BYTES
        assert (tar.getmember(name).mode, tar.getmember(name).uid, tar.getmember(name).mtime) == (0o600, 7, EPOCH)
        assert "boot/vmlinuz-6.9" not in tar.getnames()
    assert held(tmp_path)["vmlinuz-6.9"] == KERNEL_BYTES
    assert conversion.newest_kernel() == "6.9"
    assert conversion.has(name)


def test_a_kernel_that_is_a_hard_link_itself_is_held_back_all_the_same(tmp_path: Path) -> None:
    """`boot/vmlinuz` comes before `boot/vmlinuz-6.9`, and so it is the file, and the other one the link."""
    files = [member("boot/initrd.img", b"i"), member("boot/vmlinuz", KERNEL_BYTES)]
    links = [hard_link("boot/initrd.img-6.9", "boot/initrd.img"), hard_link("boot/vmlinuz-6.9", "boot/vmlinuz")]
    conversion, result = converted(*files, *links, aside=Aside(tmp_path))
    assert held(tmp_path) == {"vmlinuz-6.9": KERNEL_BYTES, "initrd.img-6.9": b"i"}
    assert conversion.newest_kernel() == "6.9"
    assert result["boot/vmlinuz"].isreg()
    assert result["boot/vmlinuz"].size == len(KERNEL_BYTES)
    assert "boot/vmlinuz-6.9" not in result


def test_two_kernels_that_are_one_file(tmp_path: Path) -> None:
    links = [hard_link("boot/vmlinuz-6.9-copy", "boot/vmlinuz-6.9")]
    conversion, result = converted(member("boot/vmlinuz-6.9", KERNEL_BYTES), *links, aside=Aside(tmp_path))
    assert set(held(tmp_path)) == {"vmlinuz-6.9", "vmlinuz-6.9-copy"}
    assert conversion.kernels == {"6.9", "6.9-copy"}
    assert not any(name.startswith("boot/vmlinuz") for name in result)


def test_a_kernel_that_stays_may_be_a_hard_link() -> None:
    links = [hard_link("boot/vmlinuz-6.9", "boot/vmlinuz"), member("boot/initrd.img-6.9", b"i")]
    conversion, result = converted(member("boot/vmlinuz", KERNEL_BYTES), *links)
    assert conversion.newest_kernel() == "6.9"
    assert result["boot/vmlinuz-6.9"].islnk()


@pytest.mark.parametrize("settings", [{"aside": True}, {"captured": lambda name: name.startswith("boot/vmlinuz-")}])
def test_a_kernel_whose_content_has_gone_by_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    if "aside" in settings:
        settings = {"aside": Aside(tmp_path)}
    link = hard_link("boot/vmlinuz-6.9", "a/kernel")
    with pytest.raises(ConversionError, match=r"/boot/vmlinuz-6\.9 is a hard link to /a/kernel.*a file of its own"):
        converted(member("a/kernel", KERNEL_BYTES), link, **settings)


@pytest.mark.parametrize("name", ["etc/machine-id", "etc/hostname"])
def test_a_hard_link_to_what_each_machine_makes_anew_is_refused(name: str) -> None:
    with pytest.raises(ConversionError, match=f"/srv/x is a hard link to /{name}, which an image must not keep"):
        converted(member(name, b"\n"), hard_link("srv/x", name))


def test_what_the_manifest_tells() -> None:
    status = (
        b"Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\nDescription: a\n b: c\n\n"
    )
    status += b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    release = b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n# NOTE=x\n'
    conversion, result = converted(member("var/lib/dpkg/status", status), member("usr/lib/os-release", release))
    bash = {"name": "bash", "version": "5.2", "architecture": "amd64", "source": "bash", "source_version": "5.2"}
    assert conversion.packages == [bash]
    assert conversion.os_release == {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian 13"}
    assert result["var/lib/dpkg/status"].size == len(status)
    assert conversion.entries == len(result)


@given(left=st.text("0123456789.-abcrt", max_size=12), right=st.text("0123456789.-abcrt", max_size=12))
def test_versions_always_have_an_order(left: str, right: str) -> None:
    first, second = facts.version_key(left), facts.version_key(right)
    assert sorted([first, second]) == sorted([second, first])


def test_a_stream_that_ends_early_is_an_error() -> None:
    source = archive(INIT, member("a", b"x" * 5000))
    with pytest.raises(TarError, match="ended in the middle"):
        Conversion(epoch=EPOCH, hostname="x").run(io.BytesIO(source[:2000]), io.BytesIO())
