"""What a machine that boots from the network finds: QEMU's own TFTP with the first files, our HTTP with the rest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metallize.serve import Fetch, FetchLog, Running, opened, pointers, serving

HOST_ADDRESS = "10.0.2.2"
"""This host, as QEMU's own network shows it to a guest (qemu-system-x86_64(1), -netdev user)."""
LOOPBACK = "127.0.0.1"
SCRIPT_PORT = 18069
LOG_NAME = "fetched.txt"


def point(folder: Path, port: int) -> None:
    """Tell the boot loaders in the folder that HTTP is at that port of this host."""
    for name, content in pointers(f"http://{HOST_ADDRESS}:{port}").items():
        if (folder / name).exists():
            (folder / name).write_bytes(content)


@contextmanager
def web_server(image: Path, log_file: Path) -> Iterator[Running]:
    """Serve an archive's files on the host's loopback, and write down what is fetched."""

    def write(fetch: Fetch) -> None:
        with log_file.open("a", encoding="utf-8") as file:
            file.write(f"{fetch}\n")

    with (
        opened(image, bootable=False) as files,
        serving(files, FetchLog(write), address=LOOPBACK, http_port=0) as running,
    ):
        yield running


def fetched(web: Running | None) -> tuple[str, ...]:
    """What the guest has fetched so far, a sentence each."""
    fetches = web.log.fetches if web is not None else ()
    return tuple(f"the guest asked our server: {str(each).partition('  ')[2]}" for each in fetches)


def web_server_script(folder: str) -> list[str]:
    """Lines of a shell script that do the same with Python alone; `folder` is quoted."""
    lines = [
        f"python3 -m http.server --bind {LOOPBACK} --directory {folder} {SCRIPT_PORT} >/dev/null 2>&1 &",
        'echo $! >"$folder/http.pid"',
    ]
    for name, content in pointers(f"http://{HOST_ADDRESS}:{SCRIPT_PORT}").items():
        text = shlex.quote(content.decode().replace("\n", "\\n"))
        lines.append(f"[ ! -e {folder}/{name} ] || printf {text} >{folder}/{name}")
    return lines
