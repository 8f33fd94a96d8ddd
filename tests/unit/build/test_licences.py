"""Licences and sources of an image's packages: by what the rootfs holds, and as Debian's own reader reads it."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import pytest
from debian.copyright import Copyright, NotMachineReadableError
from metallize_os.licences import licences_of

from tests.unit.build.test_conversion import converted
from tests.unit.build.test_conversion_kernels import hard_link

from .test_tarstream import member

DEP5 = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
CORPUS = sorted(Path("/usr/share/doc").glob("*/copyright"))
STATUS = """Package: {name}
Status: install ok installed
Source: {source}
Version: 2:1.2-3+b1
Architecture: amd64

"""


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def doc(name: str, *licences: str) -> tuple[str, bytes]:
    text = DEP5 + "".join(f"\nFiles: {number}\nLicense: {each}\n text\n" for number, each in enumerate(licences))
    return f"usr/share/doc/{name}/copyright", text.encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{DEP5}License: MIT\n\nFiles: *\nLicense: GPL-2+\n Text\n  License: X\n", ("GPL-2+", "MIT")),
        (f"{DEP5}\nFiles: *\nLicense:  GPL-2+  or\tMIT\n\nLicense: MIT\n text\n", ("GPL-2+ or MIT",)),
        (f"{DEP5}\nFiles: *\nlicense: Expat\n#License: X\n \nFiles: a\nLicense: Expat\n", ("Expat",)),
        (f"{DEP5}\nFiles: *\nCopyright: me\n", ()),
        ("Format-Specification: http://dep.debian.net/deps/dep5/\n\nFiles: *\nLicense: BSD\n", ("BSD",)),
        ("This is free software: License: GPL\n\nFiles: *\nLicense: GPL\n", ()),
        ("", ()),
        ("\0\n:\n\n:::", ()),
    ],
)
def test_what_a_copyright_names(text: str, found: tuple[str, ...]) -> None:
    assert licences_of(text) == found


@pytest.mark.slow
def test_the_copyrights_of_this_host_as_debians_own_reader_has_them() -> None:
    read = 0
    for path in CORPUS:
        text = path.read_text(errors="replace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                known = Copyright(text.splitlines(keepends=True), strict=False)
                licences = [getattr(each, "license", None) for each in (known.header, *known.all_files_paragraphs())]
        except (NotMachineReadableError, ValueError):
            continue
        read += 1
        wanted = {" ".join(each.synopsis.split()) for each in licences if each is not None and each.synopsis}
        assert set(licences_of(text)) == wanted, path
    assert read > 100


def test_packages_with_their_sources_and_licences() -> None:
    names = {"a": "a-src (1.2-3)", "b": "b-src", "c": "c", "d": "d", "e": "e", "f": "f"}
    status = "".join(STATUS.format(name=name, source=source) for name, source in names.items()).encode()
    conversion, result = converted(
        member("var/lib/dpkg/status", status),
        member(*doc("a", "GPL-2+", "Expat or GPL-3")),
        symlink("usr/share/doc/b", "a"),
        symlink("usr/share/doc/c/copyright", "../a/copyright"),
        member("usr/share/doc/d/copyright", b"GPL, see there"),
        symlink("usr/share/doc/e", "e"),
        hard_link("usr/share/doc/f/copyright", "usr/share/doc/a/copyright"),
    )
    found = {str(each["name"]): each for each in conversion.packages}
    assert (found["a"]["source"], found["a"]["source_version"]) == ("a-src", "1.2-3")
    assert (found["b"]["source"], found["b"]["source_version"]) == ("b-src", "2:1.2-3+b1")
    for name in "abcf":
        assert found[name]["licences"] == ["Expat or GPL-3", "GPL-2+"], name
    for name in "de":
        assert "licences" not in found[name], name
    assert result["usr/share/doc/a/copyright"].size == len(doc("a", "GPL-2+", "Expat or GPL-3")[1])
