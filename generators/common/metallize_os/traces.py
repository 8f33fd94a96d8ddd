"""What a build leaves in a rootfs of when, and in which order of chance, it was made: two builds would differ in it.

Each trace is a row of a table with the reason beside it, and docs/same-bytes.md lists them. The conversion empties a
log (the file stays, with its owner and mode), leaves a cache out that whoever wants it makes anew, and rewrites a file
whose times are content. Anything else that a layer made is its own affair, and stays.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

from metallize_os.dating import Dating

LOGS: tuple[tuple[str, str], ...] = (
    (r"var/log/(alternatives|bootstrap|dpkg|fontconfig)\.log", "when each package and alternative was set up"),
    (r"var/log/apt/(history|term)\.log", "when apt ran, and what it printed"),
    (r"var/log/apt/eipp\.log(\.xz)?", "what apt planned, in the order of its run"),
    (r"var/log/(lastlog|faillog|tallylog|wtmp|btmp)", "who logged in; nobody has, on a machine that never ran"),
)
"""Patterns of files that are emptied."""

CACHES: tuple[tuple[str, str], ...] = (
    (r"var/cache/ldconfig/aux-cache", "holds inode numbers of the machine that built it"),
    (r"var/cache/fontconfig/.+", "holds the times of font folders; fontconfig makes it anew"),
    (r"var/cache/man/(.+/)?index\.db", "holds the times of pages; man-db's timer makes it anew"),
    (r"var/cache/debconf/[a-z]+\.dat-old", "debconf's database as it was one package before"),
    (r"var/lib/dpkg/(available|diversions|statoverride|status)-old", "dpkg's database as it was one step before"),
)
"""Patterns of files that are left out."""

_EMPTIED = re.compile("|".join(f"(?:{pattern})" for pattern, _ in LOGS))
_DAY_SECONDS = 86_400
_PYC_HEADER_BYTES = 16


def is_log(name: str) -> bool:
    """Whether the file of this name is a log that an image begins with empty."""
    return _EMPTIED.fullmatch(name) is not None


def rewriter(name: str) -> Callable[[bytes, Dating], bytes] | None:
    """What takes the times out of the content of a file of this name, if anything has to."""
    if match := _BYTECODE.fullmatch(name):
        source = f"{match['folder']}{match['module']}.py"
        return lambda content, dating: _bytecode(content, dating, source)
    return next((rewrite for pattern, rewrite, _ in _REWRITTEN if pattern.fullmatch(name)), None)


def _shadow(content: bytes, dating: Dating) -> bytes:
    """shadow(5): no password was last changed on a later day than the image's own."""
    latest = dating.epoch // _DAY_SECONDS

    def bounded(match: re.Match[bytes]) -> bytes:
        return match[1] + str(min(int(match[2]), latest)).encode()

    return re.sub(rb"(?m)^([^:\n]*:[^:\n]*:)(\d{1,10})(?=:|$)", bounded, content)


def _updated(content: bytes, dating: Dating) -> bytes:
    """systemd-update-done(8): the mark's time of /usr, in nanoseconds, is what /usr's own becomes."""
    return re.sub(rb"(?m)^TIMESTAMP_NSEC=\d+$", f"TIMESTAMP_NSEC={dating.epoch}000000000".encode(), content)


def _bytecode(content: bytes, dating: Dating, source: str) -> bytes:
    """PEP 552: bytecode that holds by its source's time follows that time, or Python would compile it at each start."""
    if len(content) < _PYC_HEADER_BYTES or content[2:4] != b"\r\n" or content[4:8] != bytes(4):
        return content
    (mtime,) = struct.unpack_from("<I", content, 8)
    mtime = min(mtime, dating.epoch) if dating.keeps(source) else dating.epoch
    return content[:8] + struct.pack("<I", mtime & 0xFFFF_FFFF) + content[12:]


_JKS_MAGIC, _JKS_CERTIFICATE = b"\xfe\xed\xfe\xed\0\0\0\2", b"\0\0\0\2"
_JKS_PASSWORD = "changeit"  # noqa: S105 - Java's own for what is public; it guards nothing (keytool(1), cacerts)
_SHA1_BYTES = 20


def _keystore(content: bytes, dating: Dating) -> bytes:
    """Java's keystore of public certificates (JKS, version 2): each entry's time, and then the digest over all.

    One that has private keys, another password or another form is somebody's own, and stays.
    """
    body, digest = content[:-_SHA1_BYTES], content[-_SHA1_BYTES:]
    if not content.startswith(_JKS_MAGIC) or _jks_digest(body) != digest:
        return content
    try:
        bounds = list(_jks_entries(body))
    except (struct.error, ValueError):
        return content
    entries = []
    for start, end in pairwise(bounds):
        entry = bytearray(body[start:end])
        (alias_bytes,) = struct.unpack_from(">H", entry, 4)
        struct.pack_into(">Q", entry, 6 + alias_bytes, dating.epoch * 1000)
        entries.append(bytes(entry))
    # Java writes them in the order of a hash table, which is of no meaning to whoever reads them.
    made_same = body[: bounds[0]] + b"".join(sorted(entries))
    return made_same + _jks_digest(made_same)


def _jks_entries(body: bytes) -> Iterator[int]:
    """Where each trusted certificate begins, and the end. ValueError where there is anything else."""
    (count,) = struct.unpack_from(">I", body, len(_JKS_MAGIC))
    at = len(_JKS_MAGIC) + 4
    yield at
    for _ in range(count):
        if body[at : at + 4] != _JKS_CERTIFICATE:
            raise ValueError("an entry is no certificate")
        at += 4
        at += 2 + struct.unpack_from(">H", body, at)[0] + 8  # the alias, then the time
        at += 2 + struct.unpack_from(">H", body, at)[0]  # X.509
        at += 4 + struct.unpack_from(">I", body, at)[0]
        yield at
    if at != len(body):
        raise ValueError("something follows the last entry")


def _jks_digest(body: bytes) -> bytes:
    salt = _JKS_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite"
    return hashlib.sha1(salt + body, usedforsecurity=False).digest()


_BYTECODE = re.compile(r"(?P<folder>(?:.+/)?)__pycache__/(?P<module>[^/.]+)\.[^/]+\.pyc")
_REWRITTEN: tuple[tuple[re.Pattern[str], Callable[[bytes, Dating], bytes], str], ...] = (
    (re.compile(r"etc/shadow-?"), _shadow, "the day on which each password was set"),
    (re.compile(r"(?:etc|var)/\.updated"), _updated, "the time of /usr when its caches were made"),
    (re.compile(r"etc/ssl/certs/java/cacerts"), _keystore, "when each certificate was put in, in an order of chance"),
)
REWRITTEN: tuple[tuple[str, str], ...] = (
    *((pattern.pattern, reason) for pattern, _, reason in _REWRITTEN),
    (_BYTECODE.pattern, "the time of the source that bytecode was made of"),
)
"""Patterns of files whose content is rewritten."""
