"""Which kernel of a rootfs is booted, what is held back of it, and what the manifest tells of it all."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metallize_os import convert
from metallize_os.convert import ConversionError

from tests.unit.build.test_conversion import converted

from .test_tarstream import member

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


class Held(io.BytesIO):
    """A file whose content outlives its closing."""

    def close(self) -> None:
        self.final = self.getvalue()
        super().close()


def test_kernels_and_initrds_can_be_held_back() -> None:
    files: dict[str, Held] = {}

    def held_back(name: str) -> Held:
        return files.setdefault(name, Held())

    members = [member("boot/vmlinuz-6.9", b"k" * 700), member("boot/initrd.img-6.9", b"i")]
    _, result = converted(*members, member("boot/config-6.9", b"c"), held_back=held_back)
    assert {name: file.final for name, file in files.items()} == {
        "boot/vmlinuz-6.9": b"k" * 700,
        "boot/initrd.img-6.9": b"i",
    }
    assert "boot/vmlinuz-6.9" not in result
    assert "boot/config-6.9" in result


def test_what_the_manifest_tells() -> None:
    status = (
        b"Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\nDescription: a\n b: c\n\n"
    )
    status += b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    release = b'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian 13"\n# NOTE=x\n'
    conversion, result = converted(member("var/lib/dpkg/status", status), member("usr/lib/os-release", release))
    assert conversion.packages == [{"name": "bash", "version": "5.2", "architecture": "amd64"}]
    assert conversion.os_release == {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian 13"}
    assert result["var/lib/dpkg/status"].size == len(status)
    assert conversion.entries == len(result)


@given(left=st.text("0123456789.-abcrt", max_size=12), right=st.text("0123456789.-abcrt", max_size=12))
def test_versions_always_have_an_order(left: str, right: str) -> None:
    first, second = convert.version_key(left), convert.version_key(right)
    assert sorted([first, second]) == sorted([second, first])
