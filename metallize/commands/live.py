"""nightly --serve: the nights' pages in a browser, while the nights go on."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from metallize.commands.saying import err
from metallize.commands.shared import settings_of
from metallize.errors import ExitCode
from metallize.night.pages.live import LivePages
from metallize.render import JsonLines
from metallize.serve import FetchLog, serving

HERE, PORT = "127.0.0.1", 8090
_OURS = frozenset({HERE, "localhost"})
"""How a browser of this host, or one behind a tunnel to it, calls it."""


def live(options: argparse.Namespace) -> int:
    """`metallize nightly --serve`: until Ctrl-C or SIGTERM, which is its proper end. It tries nothing itself."""
    build_dir = settings_of(options).build_dir or Path("build")
    address = options.address or HERE
    port = PORT if options.http_port is None else options.http_port
    pages = LivePages(build_dir, hosts=_OURS if address in _OURS else frozenset())
    with serving(pages, FetchLog(), address=address, http_port=port) as running:
        try:
            url = f"http://{address}:{running.http.port}/"
            if options.json:
                JsonLines(sys.stdout).write({"event": "serving", "build_dir": str(build_dir), "url": url})
            else:
                err(f"The nights of {build_dir}: {url} Ctrl-C ends it.")
            threading.Event().wait()
        except KeyboardInterrupt:
            err("")
    if options.json:
        fetches = running.log.fetches
        JsonLines(sys.stdout).write({"event": "result", "fetches": len(fetches) + running.log.more})
    return ExitCode.DONE
