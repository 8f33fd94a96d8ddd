"""NAME.transfer: how systemd-sysupdate(8) keeps the newest image of a name on a machine, as sysupdate.d(5) has it.

It is put into /etc/sysupdate.d/ (before systemd 257 as NAME.conf). The image becomes a file in /var/lib/machines, where
systemd-vmspawn and machinectl look for it: this is for hosts that run the image, and no update of the host itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from metallize.release.catalogue import Catalogue
from metallize.release.channel.serving import base_url

SUFFIX = ".transfer"
_FORMATS = {"raw": "raw.xz", "qcow2": "qcow2", "iso": "iso"}
"""Of what a host can run, the one that it is best to have first; sysupdate unpacks xz on the way."""
_INSTANCES = 2
"""As few as it allows: the newest, and the one before."""


def transfers(catalogue: Catalogue, *, signed: bool) -> Iterator[tuple[str, bytes]]:
    """The file of each name that is offered, where it is known at which address."""
    url = base_url(catalogue)
    if not url:
        return
    for name in sorted({release.name for release in catalogue.releases}):
        latest = catalogue.latest(name)
        formats = {image.format for image in latest.images} if latest is not None else set()
        chosen = next((each for each in _FORMATS if each in formats), None)
        if chosen is not None:
            yield f"{name}{SUFFIX}", _text(name, url, chosen, signed=signed).encode()


def _text(name: str, url: str, image_format: str, *, signed: bool) -> str:
    """`%a` is the machine's architecture as systemd spells it, which is how names here do."""
    shipped = _FORMATS[image_format]
    return (
        f"# The newest {name} as a file: systemd-sysupdate update\n"
        "[Transfer]\n"
        f"Verify={'yes' if signed else 'no'}\n"
        "\n[Source]\nType=url-file\n"
        f"Path={_escaped(url)}\n"
        f"MatchPattern={name}_@v_%a.{shipped}\n"
        "\n[Target]\nType=regular-file\nPath=/var/lib/machines\n"
        f"MatchPattern={name}_@v.{shipped.removesuffix('.xz')}\n"
        f"CurrentSymlink={name}.{shipped.removesuffix('.xz')}\n"
        f"Mode=0644\nInstancesMax={_INSTANCES}\n"
    )


def _escaped(text: str) -> str:
    """A percent sign begins a specifier (sysupdate.d(5))."""
    return text.replace("%", "%%")
