"""A mirror of old states on loopback: Debian's own packages, and one that is another on each date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metallize.command import run
from tests.ubuntu import Served, described, index, packed

ROOT = "/archive/debian"
PACKAGE = "state-of-the-archive"
_ASK = r"""
set -eu
apt-get update -qq
apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(FILENAME)' | sed -n 's/^Packages //p' |
while read -r address file; do
  echo "%%archive $address"
  /usr/lib/apt/apt-helper cat-file "$file"
done
"""


def states(suite: str, dates: Sequence[str], docker: Path, base: str, folder: Path) -> Served:
    """All that a base of Debian, an image in Docker, can install, as of each date; what is said of it has expired."""
    made = Served()
    answer = run([docker, "run", "--rm", "--interactive", base, "sh", "-s"], stdin=_ASK).stdout
    stanzas: dict[str, str] = {}
    for part in answer.split("%%archive ")[1:]:
        address, _, text = part.partition("\n")
        for stanza in text.split("\n\n"):
            place = re.search(r"^Filename: (.*)$", stanza, re.MULTILINE)
            if place:
                stanzas[place[1]] = stanza
                for date in dates:
                    made.elsewhere[f"{date}/{place[1]}"] = f"{address.rstrip('/')}/{place[1]}"
    for date in dates:
        own = f"pool/main/s/{PACKAGE}/{PACKAGE}_{date}_all.deb"
        content = _package(date, folder)
        texts = {"main": "\n\n".join((*stanzas.values(), described(content, own, folder), ""))}
        files = index(
            texts, origin="Debian", suite=suite, version="13", date="Tue, 03 Feb 2026 00:00:00 UTC",
            more="Valid-Until: Tue, 10 Feb 2026 00:00:00 UTC\n",
        )  # fmt: skip
        made.files |= {f"{date}/{place}": each for place, each in files.items()} | {f"{date}/{own}": content}
    return made


def _package(date: str, folder: Path) -> bytes:
    tree = folder / date
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {PACKAGE}\nVersion: {date}\nArchitecture: all\nMaintainer: tests <tests@localhost>\n"
        "Description: a package that is another one on each date\n"
    )
    return packed(tree)
