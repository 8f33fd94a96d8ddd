"""flash: an image onto a card, a stick or a disk, or a list of what could be written to."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metallize import flash as flashing
from metallize import publish as publishing
from metallize.build.store import stamp_of
from metallize.commands.saying import err, out
from metallize.commands.shared import renderer_of
from metallize.errors import ExitCode, HostError, UsageError
from metallize.render import JsonLines, Renderer


def flash(options: argparse.Namespace) -> int:
    """`metallize flash [IMAGE [DEVICE]]`: write and read back, or list what could be written to."""
    if options.device is None:
        return _list_disks(options)
    address = options.image if isinstance(options.image, str) else None
    for name, given, wanted in (
        ("--keyring", options.keyring, address),
        ("--key", options.keys, address),
        ("--require", options.require, options.keys),
        ("--max-age", options.max_age, options.keys),
    ):
        if given and not wanted:
            raise UsageError(
                f"{name} goes with {'a URL' if name in ('--keyring', '--key') else '--key'}",
                hint="metallize attest verify IMAGE judges a file that is here",
            )
    device = flashing.is_device(options.device)
    renderer = renderer_of(options)
    if device:
        flashing.require_allowed(options.device, 0, any_disk=options.any_disk)
        if not options.yes:
            _confirm(options.device)
    elif flashing.holds_something(options.device) and not options.yes:
        _confirm(options.device)
    with renderer:
        done = _fetch(address, options, renderer) if address is not None else _write(options, renderer)
    if isinstance(renderer, JsonLines):
        renderer.write(
            {"event": "result", "target": str(done.target), "size": done.size_bytes, "written": done.written_bytes,
             "sha256": done.sha256}
        )  # fmt: skip
    else:
        out(f"{done.target} holds {options.image}")
    return ExitCode.DONE


def _fetch(address: str, options: argparse.Namespace, renderer: Renderer) -> flashing.Flashed:
    from metallize.release.fetching.writing import fetch  # noqa: PLC0415 - keys take time, which no image here waits for

    return fetch(
        address,
        options.device,
        renderer,
        keyring=options.keyring,
        keys=tuple(options.keys),
        require=options.require,
        max_age=options.max_age,
        any_disk=options.any_disk,
    )


def _write(options: argparse.Namespace, renderer: Renderer) -> flashing.Flashed:
    image: Path = options.image
    before = stamp_of(image.stat()) if image.is_file() else None
    renderer.emit(publishing.standing(image))
    done = flashing.flash(image, options.device, renderer, any_disk=options.any_disk)
    if not image.is_file() or stamp_of(image.stat()) != before:
        raise HostError(
            f"{image} was written to or replaced meanwhile: nobody knows what {done.target} holds",
            hint="flash it again once whoever writes to it is done",
        )
    return done


def _list_disks(options: argparse.Namespace) -> int:
    free = [disk for disk in flashing.disks() if not disk.uses and not disk.read_only]
    found = [disk for disk in free if disk.removable or options.any_disk]
    for disk in found:
        if options.json:
            content = {"device": str(disk.path), "size": disk.size_bytes, "model": disk.model}
            JsonLines(sys.stdout).write({"event": "disk", **content})
        else:
            out(str(disk))
    if not found:
        err(f"no {'disk' if options.any_disk else 'removable disk'} that is not in use")
    if len(free) > len(found):
        err(f"{len(free) - len(found)} that cannot be taken out: --any-disk lists and takes them too")
    if options.image is not None:
        which = ": one of those above, or a file" if found else " (a disk or a file)"
        raise UsageError(f"where to write {options.image}?", hint=f"metallize flash {options.image} DEVICE{which}")
    return ExitCode.DONE


def _confirm(device: Path) -> None:
    """Ask on the terminal, and raise UsageError where nobody can answer or the answer is another."""
    disk = next((each for each in flashing.disks() if each.path == device.resolve()), device)
    if not sys.stdin.isatty():
        raise UsageError(f"everything on {disk} would be lost", hint="add --yes if that is meant")
    sys.stderr.write(f"Everything on {disk} will be lost. Type {device} to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != str(device):
        raise UsageError("that was not its name; nothing was written")
