"""What a machine that boots from the network finds: QEMU's own TFTP with the first files, our HTTP with the rest.

Where the machine's network is closed, HTTP has an address of its own in it, and QEMU starts a small program for each
connection to that one: nothing else of the host can be reached.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from metallize.errors import UsageError
from metallize.files.vanishing import vanishing_folder
from metallize.qemu.network import HTTP_ADDRESS
from metallize.serve import MOST_FETCHES, Fetch, FetchLog, Files, Running, archive, bridge, opened, pointers, serving

HOST_ADDRESS = "10.0.2.2"
"""This host, as QEMU's own network shows it to a guest (qemu-system-x86_64(1), -netdev user)."""
LOOPBACK = "127.0.0.1"
SCRIPT_PORT = 18069
LOG_NAME = "fetched.txt"
MOST_CONNECTIONS = 64
"""Of one guest at a time: QEMU starts a program for each."""
MOST_TOLD = 100
"""Of its fetches, in the report."""


def url_for(port: int, *, internet: bool) -> str:
    """Where a guest finds our HTTP server, which listens at that port of the host's loopback."""
    return f"http://{HOST_ADDRESS}:{port}" if internet else f"http://{HTTP_ADDRESS}"


def bridge_command(port: int) -> str:
    """What QEMU starts for each connection of a guest whose network is closed."""
    return shlex.join((sys.executable, "-I", "-S", bridge.__file__, str(port)))


@contextmanager
def served_folder(image: Path, run_folder: Path, url: str) -> Iterator[Path]:
    """The archive's files for QEMU's TFTP, its boot loaders told where HTTP is; gone whatever ends this process.

    Raises UsageError for an archive that is damaged, and writes nothing but what it has just made.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(vanishing_folder(run_folder, ".tftp-", kin="../*/"))
        try:
            with image.open("rb", buffering=0) as file:
                archive.unpack(file, folder)
        except archive.ArchiveError as exc:
            raise UsageError(f"{image} is damaged: {exc}", hint="compare its checksum with its maker's") from exc
        for name, content in pointers(url).items():
            if (folder / name).exists():  # a plain file, for there is nothing else
                (folder / name).write_bytes(content)
        yield folder


@contextmanager
def web_server(image: Path, log_file: Path) -> Iterator[Running]:
    """Serve an archive's files, or a folder's, on the host's loopback, and write down what is fetched."""
    with opened(image, bootable=False) as files, files_server(files, log_file) as running:
        yield running


@contextmanager
def files_server(files: Files, log_file: Path) -> Iterator[Running]:
    """The same with files that are open already."""
    written = 0

    def write(fetch: Fetch) -> None:
        nonlocal written
        written += 1
        if written > MOST_FETCHES:
            return
        with log_file.open("a", encoding="utf-8") as file:
            file.write(f"{fetch}\n")

    with serving(files, FetchLog(write), address=LOOPBACK, http_port=0, most=MOST_CONNECTIONS) as running:
        yield running


def fetched(web: Running | None) -> tuple[str, ...]:
    """What the guest has fetched so far, a sentence each; of a guest that never ends asking, the first."""
    fetches = web.log.fetches if web is not None else ()
    more = len(fetches) - MOST_TOLD + (web.log.more if web is not None else 0)
    told = tuple(f"the guest asked our server: {str(each).partition('  ')[2]}" for each in fetches[:MOST_TOLD])
    return (*told, f"the guest asked our server {more} times more: see {LOG_NAME}") if more > 0 else told


def web_server_script(folder: str, *, internet: bool) -> list[str]:
    """Lines of a shell script that do the same with Python alone; `folder` is quoted."""
    lines = [
        f"python3 -m http.server --bind {LOOPBACK} --directory {folder} {SCRIPT_PORT} >/dev/null 2>&1 &",
        'echo $! >"$folder/http.pid"',
    ]
    for name, content in pointers(url_for(SCRIPT_PORT, internet=internet)).items():
        text = shlex.quote(content.decode().replace("\n", "\\n"))
        lines.append(f"[ ! -e {folder}/{name} ] || printf {text} >{folder}/{name}")
    return lines
