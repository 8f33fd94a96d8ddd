"""A headless Chromium that is told what to do by DevTools' protocol on two pipes: it needs no port and no driver.

https://chromedevtools.github.io/devtools-protocol/ has the methods; `--remote-debugging-pipe` reads from descriptor 3
and writes to 4, each message ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LIMIT_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A page as a browser shows it at some width."""

    seconds: float
    """From the navigation's beginning until it is loaded and something of it is painted, whichever is later."""
    overflow: int
    """CSS pixels that the page is wider than its window: of those nobody on a phone knows."""
    nameless: tuple[str, ...]
    """Links, pictures and buttons of which a screen reader can say nothing, by their roles."""


@dataclass(slots=True)
class Browser:
    """One tab of it."""

    _write: int
    _read: int
    _session: str = ""
    _number: int = 0
    _rest: bytes = b""
    _events: list[Mapping[str, Any]] = field(default_factory=list)

    def attach(self) -> None:
        """Open the tab."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Accessibility"):
            self._ask(f"{domain}.enable")

    def open(self, url: str, width: int, height: int = 900) -> Opened:
        """Raises RuntimeError where the browser says that it cannot."""
        phone = width < 600
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self._events.clear()
        found = self._ask("Page.navigate", url=url)
        if found.get("errorText"):
            raise RuntimeError(f"{url}: {found['errorText']}")
        self._until("Page.loadEventFired")
        seconds = 0.0
        end = time.monotonic() + _LIMIT_SECONDS
        while not seconds and time.monotonic() < end:
            seconds = float(self.value(_PAINTED)) / 1000
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        return Opened(
            seconds=seconds,
            overflow=int(self.value(f"document.documentElement.scrollWidth - {width}")),
            nameless=tuple(sorted(_nameless(nodes))),
        )

    def press(self, key: str) -> None:
        """A key, as the keyboard sends it."""
        codes = {"Tab": 9, "ArrowDown": 40}
        for kind in ("rawKeyDown", "keyUp"):
            number = codes[key]
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=number)

    def unreached(self) -> int:
        """How many links, buttons and folds Tab does not come to; of a group of radio buttons it comes to one."""
        shown = int(self.value(f"{_REACHABLE}.length"))
        for _ in range(min(shown, _TABS)):
            self.press("Tab")
            self.value("document.activeElement.dataset.reached = 'yes'")
        reached = int(self.value("document.querySelectorAll('[data-reached]').length"))
        return min(shown, _TABS) - reached

    def value(self, expression: str) -> Any:
        """What an expression comes to in the page, which runs no script of its own."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Of what the window shows, or of the whole page, as PNG."""
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def printed(self) -> bytes:
        """The page as PDF, as it is printed on A4."""
        found = self._ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(found["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = ""
        self._ask("Browser.close")

    def _ask(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        said: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            said["sessionId"] = self._session
        os.write(self._write, json.dumps(said).encode() + b"\0")
        while True:
            heard = self._next(method)
            if heard.get("id") == self._number:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                return dict(heard["result"])
            self._events.append(heard)

    def _until(self, method: str) -> None:
        while not any(each.get("method") == method for each in self._events):
            self._events.append(self._next(method))

    def _next(self, waits_for: str) -> dict[str, Any]:
        end = time.monotonic() + _LIMIT_SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                raise RuntimeError(f"the browser {'said nothing' if not ready else 'is gone'}: {waits_for}")
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


_PAINTED = """(() => {
  const [page] = performance.getEntriesByType('navigation');
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return page && paint && page.loadEventEnd ? Math.max(page.loadEventEnd, paint.startTime) : 0;
})()"""


_REACHABLE = """[...document.querySelectorAll('a[href], input:checked, summary, [tabindex="0"]')]
  .filter(each => each.checkVisibility())"""
_TABS = 60
"""So many are tried."""


def _nameless(nodes: list[Mapping[str, Any]]) -> Iterator[str]:
    for node in nodes:
        role = node.get("role", {}).get("value", "")
        if role in {"link", "image", "button", "radio", "checkbox", "region", "DisclosureTriangle"}:
            name = str(node.get("name", {}).get("value", "")).strip()
            if not node.get("ignored") and not name:
                yield role


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser whose profile is in that folder. Raises SystemExit where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise SystemExit(f"error: there is none of {', '.join(_NAMES)}\n  next: apt-get install chromium")
    with ExitStack() as stack:
        to_read, to_write = map(_high, os.pipe())
        from_read, from_write = map(_high, os.pipe())
        for number in (to_write, from_read):
            stack.callback(os.close, number)
        words = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe",
                 f"--user-data-dir={folder}"]  # fmt: skip
        script = f'exec "$@" 3<&{to_read} 4>&{from_write} {to_read}<&- {from_write}>&-'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words],
            pass_fds=(to_read, from_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for number in (to_read, from_write):
            os.close(number)
        stack.callback(_ended, process)
        found = Browser(to_write, from_read)
        found.attach()
        yield found
        found.close()


def _high(number: int) -> int:
    """The same file by a number that is in nobody's way: 3 and 4 are the browser's."""
    found = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(number)
    return found


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
