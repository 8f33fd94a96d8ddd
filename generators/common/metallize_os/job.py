"""What a generator is asked to do, and what it answers: the contract's two ends.

The job comes as one JSON argument; the rootfs comes as a tar stream on standard input; the image goes to
`/out/image` and the answer to `/out/result.json`. SOURCE_DATE_EPOCH bounds every time in the image.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from metallize_os.convert import Conversion, ConversionError
from metallize_os.tarstream import TarError

OUT = Path("/out")
LOADERS = Path("/usr/lib/metallize-loaders")
"""Packages of boot loaders for another architecture, which dpkg does not know: name and version."""
FILES = "files.mtree"
"""Beside the image: which files its root filesystem has."""


@dataclass(frozen=True, slots=True)
class Job:
    """The profile's wishes, checked against generator.yaml by the caller."""

    name: str
    """The profile's name."""
    platform: str
    """What the rootfs runs on: linux/amd64 or linux/arm64."""
    hostname: str
    """The hostname where no layer sets one."""
    format: str
    kernel_boot_params: str
    """The whole kernel command line."""
    options: dict[str, Any]
    ids: dict[str, str]
    """Role -> UUID, derived from the profile's name and the role: the same in every build."""
    epoch: int
    units: dict[str, str] = field(default_factory=dict)
    """systemd units that the image gets and enables: name and text."""
    release: str = ""
    version: str = ""
    """What the image's releases are called, and its own version: where generator.yaml asks for them."""
    certificate: str = ""
    """Of the key that signs for Secure Boot, in PEM; the program `sign` alone is told."""
    enroll: bool = False
    """Whether the image brings that certificate to firmware without keys; as above."""
    token: bool = False
    """Whether its key is on a token, which the host asks (metallize_os.stand_in); as above."""

    @classmethod
    def from_argv(cls) -> Job:
        return cls(**json.loads(sys.argv[1]), epoch=int(os.environ["SOURCE_DATE_EPOCH"]))

    def conversion(self, **more: Any) -> Conversion:
        """The conversion of the rootfs that this job asks for; `more` are the generator's own wishes."""
        return Conversion(epoch=self.epoch, hostname=self.hostname, units=self.units, **more)

    def fat_id(self, role: str) -> str:
        """A FAT volume id, eight hexadecimal digits, from the role's UUID."""
        return self.ids[role].replace("-", "")[:8].upper()


def fail(message: str) -> NoReturn:
    """End with a message for the person who builds; the caller shows it as the cause."""
    sys.stderr.write(f"metallize: ERROR: {message}\n")
    raise SystemExit(1)


def say(message: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"metallize: {message}\n")
    sys.stderr.flush()


def tool(*argv: str | Path, stdin: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
    """Run a tool to its end and return its standard output; its failure ends the generator with its output."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, check=False, capture_output=True, input=stdin, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        text = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        fail(f"{words[0]} ended with status {done.returncode}: {text[-2000:]}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of the image that a release has as a file of their own, for machines that are updated by them."""

    suffix: str
    """What its name ends with, after the image's name, version and architecture."""
    offset: int
    size: int

    def told(self, image: Path) -> dict[str, object]:
        """As result.json has it; read from the image, a piece at a time."""
        digest, left = hashlib.sha256(), self.size
        with image.open("rb") as file:
            file.seek(self.offset)
            while left:
                piece = file.read(min(left, 1 << 20))
                if not piece:
                    fail(f"{self.suffix} of the image is {left} bytes too short")
                digest.update(piece)
                left -= len(piece)
        return {"suffix": self.suffix, "offset": self.offset, "size": self.size, "sha256": digest.hexdigest()}


def answer(
    conversion: Conversion,
    *,
    kernel: str,
    boots_by: tuple[str, ...],
    parts: tuple[Part, ...] = (),
    pcr11: dict[str, object] | None = None,
) -> None:
    """Write result.json: what is in the image, how it boots, and what a TPM will hold then (metallize_os.measuring)."""
    for note in conversion.notes:
        say(note)
    release = conversion.os_release
    listed = conversion.listing.text().encode() if conversion.listing is not None else b""
    (OUT / FILES).write_bytes(listed)
    result = {
        "kernel": kernel,
        "firmware": list(boots_by),
        "os": {key: release[key] for key in ("ID", "VERSION_ID", "PRETTY_NAME") if key in release},
        "entries": conversion.entries,
        "rootfs_bytes": conversion.data_bytes,
        "packages": conversion.packages,
        "files": {"entries": conversion.listing.entries, "sha256": hashlib.sha256(listed).hexdigest()}
        if conversion.listing is not None
        else None,
        "tools": _tools(),
        **({"parts": [part.told(OUT / "image") for part in parts]} if parts else {}),
        **({"pcr11": pcr11} if pcr11 is not None else {}),
    }
    (OUT / "result.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def answer_signed(parts: tuple[Part, ...], files: list[dict[str, object]]) -> None:
    """Write into result.json where the parts are that have moved, and which files were signed."""
    answer = OUT / "result.json"
    result = json.loads(answer.read_text())
    moved = {part.suffix: part.told(OUT / "image") for part in parts}
    result["parts"] = [moved.get(part["suffix"], part) for part in result["parts"]]
    result["signed"] = files
    answer.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def _tools() -> dict[str, str]:
    """Versions of the packages that made the image, as the generator's own image has them."""
    wanted = ["squashfs-tools", "xorriso", "e2fsprogs", "grub-pc-bin", "grub-efi-amd64-signed", "shim-signed",
              "dosfstools", "mtools", "qemu-utils", "fdisk",
              "cryptsetup-bin", "systemd-boot-efi", "systemd-ukify", "osslsigncode"]  # fmt: skip
    text = tool("dpkg-query", "--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\n", "*").decode()
    rows = (line.rpartition(" ") for line in text.splitlines() if line.endswith(" installed"))
    versions = dict(row[0].split(" ", 1) for row in rows)
    found = {name: version for name, version in versions.items() if name in wanted}
    if LOADERS.exists():
        found |= dict(line.split() for line in LOADERS.read_text().splitlines())
    return found


def guarded(body: Any) -> None:
    """Run a generator's body; turn what can be wrong with the rootfs into one clear message."""
    try:
        body(Job.from_argv())
    except (ConversionError, TarError) as exc:
        fail(str(exc))
    except BrokenPipeError:
        fail("a tool stopped reading the rootfs; its message is above")
    except OSError as exc:
        fail(f"{exc.strerror or exc}: {exc.filename or 'writing the image'}")
