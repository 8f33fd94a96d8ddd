"""serve: hand out a network boot image to the machines of a network, and say who fetched what."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metallize import images
from metallize import publish as publishing
from metallize.build.store import Stamp, Store, stamp_of
from metallize.commands.saying import err
from metallize.commands.shared import catalog_of, names_profile, profile_of, require_no_profile, settings_of
from metallize.errors import ExitCode, UsageError, VerificationFailed
from metallize.render import JsonLines
from metallize.serve import Fetch, FetchLog, Files, Running, advice, opened, own_address, serving
from metallize.serve.server import EVERYWHERE

_PROOF = "metallize build PROFILE --verify"
_ALL_THE_SAME = "; to serve it all the same: --unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    path: Path
    sha256: str = ""
    """Of an image that was verified."""
    stamp: Stamp | None = None
    """Of its file, before its digest was made."""


def serve(options: argparse.Namespace) -> int:
    """`metallize serve IMAGE, FOLDER or PROFILE`: until Ctrl-C, which is its proper end."""
    options.address = options.address or EVERYWHERE
    source = _source(options)
    lines = JsonLines(sys.stdout) if options.json else None
    log = FetchLog(_teller(lines))
    with (
        _opened(source) as files,
        serving(
            files,
            log,
            address=options.address,
            http_port=options.http_port,
            tftp_port=None if options.no_tftp else options.tftp_port,
        ) as running,
    ):
        try:
            for name in files.left_out:
                err(f"warning: {name} is not served: it is no file, or leads out of {source.path}")
            _say_what(source, running, options, lines)
            threading.Event().wait()
        except KeyboardInterrupt:
            err("")
    _sum_up(log, lines)
    return ExitCode.DONE


@contextmanager
def _opened(source: _Source) -> Iterator[Files]:
    """The files to be served, of the very bytes that were found verified: a new build may have taken the name since."""
    with opened(source.path) as files:
        if source.sha256:
            there = None if files.archive is None else stamp_of(os.fstat(files.archive.fileno()))
            if there != source.stamp:
                raise VerificationFailed(
                    f"{source.path} is not the file any more that was found to be verified",
                    hint="start this again once whoever replaces it is done",
                )
        yield files


def _source(options: argparse.Namespace) -> _Source:
    """What is to be served. Raises VerificationFailed for what nobody has seen boot, without --unverified."""
    target: Path = options.target
    if target.is_dir() or not names_profile(target):
        require_no_profile(options, target)
        if options.build_dir is not None:
            raise UsageError(f"--build-dir goes with a profile, and {target} is none", hint="leave it out")
    if target.is_dir():
        if not options.unverified:
            raise VerificationFailed(
                f"{target} is a folder, and only an image can have been verified", hint=f"{_PROOF}{_ALL_THE_SAME}"
            )
        return _Source(path=target)
    if names_profile(target):
        options.profile = target
        catalog, settings = catalog_of(options), settings_of(options)
        profile = profile_of(options, catalog)
        store = images.store_of(profile, settings)
        prove = partial(images.verified, profile, catalog, settings)
    else:
        store = Store(build_dir=target.parent, file=target.name)
        prove = partial(publishing.verified_image, store, hint=_PROOF)
    if options.unverified:
        err(f"warning: {store.image} is served unverified: nothing proves that it boots")
        return _Source(path=store.image)
    stamp = stamp_of(store.image.stat()) if store.image.is_file() else None
    try:
        proven = prove()
    except VerificationFailed as exc:
        raise VerificationFailed(exc.message, hint=f"{exc.hint}{_ALL_THE_SAME}") from exc
    return _Source(path=proven.path, sha256=proven.sha256, stamp=stamp)


def _teller(lines: JsonLines | None) -> Callable[[Fetch], None]:
    def tell(fetch: Fetch) -> None:
        if lines is None:
            err(str(fetch))
            return
        lines.write(
            {"event": "fetched", "address": fetch.address, "protocol": fetch.protocol, "file": fetch.file,
             "bytes": fetch.bytes_sent, "seconds": round(fetch.seconds, 3), "problem": fetch.problem}
        )  # fmt: skip

    return tell


def _say_what(source: _Source, running: Running, options: argparse.Namespace, lines: JsonLines | None) -> None:
    address = own_address(options.address)
    tftp = running.tftp.port if running.tftp is not None else None
    if lines is not None:
        lines.write(
            {"event": "serving", "image": str(source.path), "sha256": source.sha256, "address": address,
             "http_port": running.http.port, "tftp_port": tftp}
        )  # fmt: skip
        return
    proof = f" (verified, sha256 {source.sha256[:12]})" if source.sha256 else ""
    ports = f"HTTP port {running.http.port}" + (f", TFTP port {tftp}" if tftp is not None else "")
    err(f"Serving {source.path}{proof} on {options.address}: {ports}. Ctrl-C ends it.")
    for line in advice(address):
        err(line)


def _sum_up(log: FetchLog, lines: JsonLines | None) -> None:
    fetches = log.fetches
    if lines is not None:
        machines = len({each.address for each in fetches})
        sent = sum(each.bytes_sent for each in fetches)
        lines.write({"event": "result", "machines": machines, "fetches": len(fetches), "bytes": sent})
        return
    err("Nobody fetched anything." if not fetches else "Fetched:")
    for line in log.summary():
        err(f"  {line}")
