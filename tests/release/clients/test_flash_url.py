"""`metallize flash URL`: from a release's server onto a card, and no bad server leaves a card that is called good."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from metallize.command import run
from metallize.errors import HostError, MetallizeError, UsageError, VerificationFailed
from metallize.events import Silent
from metallize.flash.blockmap import BLOCK_BYTES
from metallize.release.channel.serving import ServingChange
from metallize.release.fetching import web
from metallize.release.fetching.writing import fetch
from metallize.release.gpg import gpg_signer
from metallize.release.keys import load_signer, make_key
from metallize.release.statement import statements
from tests.release.clients.serving import IMAGE, Quiet
from tests.unit.release.wares import released, ware

pytestmark = pytest.mark.slow
MIB = 1 << 20
FILE = "web_20261130.1_x86-64.raw.xz"
BEFORE = b"what was on the card before" * 1000
Act = Callable[["Bad", bytes], None]


class Bad(Quiet):
    """Serves a folder; what it does with the image itself is the test's."""

    act: Act | None = None

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        if self.act is not None and self.path.endswith(FILE):
            content = Path(self.translate_path(self.path)).read_bytes()
            type(self).act(self, content)  # type: ignore[misc]  # it is there
        else:
            super().do_GET()

    def answer(self, content: bytes, *, length: int | None = None, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(folder: Path, act: Act | None = None) -> Iterator[str]:
    kind = type("Here", (Bad,), {"act": staticmethod(act) if act else None})
    handler = functools.partial(cast("type[Bad]", kind), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/stable"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("AGAIN", 0.01), ("SLOW", 0.5), ("SILENCE", 1.0), ("ANSWER", 1.0)):
        monkeypatch.setattr(web, f"FETCH_{name}", seconds)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that nobody changes."""
    folder = tmp_path_factory.mktemp("there")
    released(folder / "to", ware(folder / "build", IMAGE))
    return folder / "to"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.img"
    path.write_bytes(BEFORE)
    return path


def test_the_latest_of_a_channel_and_a_file_by_its_name(tmp_path: Path, there: Path, card: Path) -> None:
    with serving(there) as url:
        for address in (url, f"{url}/", f"{url}/{FILE}"):
            card.unlink()
            done = fetch(address, card, Silent())
            assert card.read_bytes() == IMAGE
            assert done.sha256 == hashlib.sha256(IMAGE).hexdigest()
            card.write_bytes(BEFORE)


def flips(handler: Bad, content: bytes) -> None:
    handler.answer(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])


def another(handler: Bad, content: bytes) -> None:
    import lzma

    other = lzma.compress(IMAGE[:-1] + b"X", preset=0)
    handler.answer(other, length=len(content))
    handler.close_connection = True


def page(handler: Bad, content: bytes) -> None:
    handler.answer(b"<html>log in</html>".ljust(len(content)), Content_Type="text/html; charset=utf-8")


def short(handler: Bad, content: bytes) -> None:
    handler.answer(content[:-7])


def longer(handler: Bad, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content + b"more")
    handler.close_connection = True


def breaks(handler: Bad, content: bytes) -> None:
    """Always at the same byte, and it knows no ranges."""
    handler.answer(content[: len(content) // 2], length=len(content))
    handler.close_connection = True


def loop(handler: Bad, content: bytes) -> None:
    handler.answer(b"", status=302, Location=handler.path)


def drips(handler: Bad, content: bytes) -> None:
    handler.answer(b"", length=len(content))
    for number in range(60):
        try:
            handler.wfile.write(content[number : number + 1])
        except OSError:
            return
        time.sleep(0.05)


def silent(handler: Bad, content: bytes) -> None:
    handler.answer(content[:100], length=len(content))
    time.sleep(1.5)


def headers_drip(handler: Bad, content: bytes) -> None:
    for number in range(100):
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: "[number % 20 : number % 20 + 1])
        except OSError:
            return
        time.sleep(0.05)


def wrong_range(handler: Bad, content: bytes) -> None:
    if handler.headers.get("Range"):
        handler.answer(content, status=206, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")
    else:
        breaks(handler, content)


def gone(handler: Bad, content: bytes) -> None:
    handler.answer(b"", status=404)


BAD: dict[Act, tuple[type[MetallizeError], str]] = {
    flips: (VerificationFailed, "damaged|not the file that was released"),
    another: (MetallizeError, "not the file|damaged|broke off"),
    page: (HostError, "is a web page"),
    short: (HostError, "bytes there, and"),
    longer: (HostError, "sends more than"),
    breaks: (HostError, "broke off at byte .* 3 times in turn"),
    loop: (HostError, "answers 302"),
    drips: (HostError, "broke off at byte .* bytes in"),
    silent: (HostError, "broke off at byte 100 of .*timed out"),
    headers_drip: (HostError, "broke off at byte 0"),
    wrong_range: (HostError, "sends something else"),
    gone: (HostError, "answers 404"),
}


@pytest.mark.parametrize("act", BAD, ids=lambda act: act.__name__)
def test_a_bad_server_leaves_no_card_that_is_called_good(tmp_path: Path, there: Path, card: Path, act: Act) -> None:
    """Neither a file, which stays what it was, nor a disk, which begins with zeros."""
    kind, told = BAD[act]
    with serving(there, act) as url, pytest.raises(kind, match=told):
        fetch(url, card, Silent())
    assert card.read_bytes() == BEFORE
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_breaks_is_gone_on_with_where_it_broke(tmp_path: Path, there: Path, card: Path) -> None:
    asked: list[str | None] = []

    def act(handler: Bad, content: bytes) -> None:
        wanted = handler.headers.get("Range")
        asked.append(wanted)
        start = int(wanted[6:-1]) if wanted else 0
        end = min(len(content), start + 700_000)
        told = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        handler.answer(content[start:end], length=len(content) - start, status=206 if start else 200, **told)
        handler.close_connection = True

    with serving(there, act) as url:
        fetch(url, card, Silent())
    assert card.read_bytes() == IMAGE
    assert asked == [None, "bytes=700000-"]


def test_a_server_without_ranges_sends_the_beginning_again(tmp_path: Path, there: Path, card: Path) -> None:
    sent: list[int] = []

    def act(handler: Bad, content: bytes) -> None:
        sent.append(min(len(content), (len(sent) + 1) * 700_000))
        handler.answer(content[: sent[-1]], length=len(content))
        handler.close_connection = True

    with serving(there, act) as url:
        fetch(url, card, Silent())
    assert card.read_bytes() == IMAGE
    assert len(sent) == 2


def test_a_list_that_is_a_web_page(tmp_path: Path, to: Path, card: Path) -> None:
    (to / "stable").mkdir()
    (to / "stable" / "SHA256SUMS").write_text("<html>log in</html>\n")
    with serving(to) as url, pytest.raises(HostError, match="is no list of checksums"):
        fetch(url, card, Silent())


@pytest.mark.parametrize(
    ("address", "told"),
    [("/nothing", "has no SHA256SUMS"), ("/stable/web_1_x86-64.raw.xz", "does not offer"), ("/stable?x", "no address")],
)
def test_an_address_of_nothing(tmp_path: Path, there: Path, card: Path, address: str, told: str) -> None:
    with serving(there) as url, pytest.raises(UsageError, match=told):
        fetch(url.removesuffix("/stable") + address, card, Silent())


def test_of_several_images_one_has_to_be_named(tmp_path: Path, to: Path, card: Path) -> None:
    several = ((IMAGE, "web.raw"), (b"iso", "web.iso"), (b"QFI\xfb", "web.qcow2"))
    released(to, *(ware(tmp_path / "build", content, file) for content, file in several))
    with serving(to) as url:
        with pytest.raises(UsageError, match=r"offers 2 images; say which:(.|\n)*raw.xz(.|\n)*\.iso"):
            fetch(url, card, Silent())
        with pytest.raises(UsageError, match="is not written to a disk as it comes"):
            fetch(f"{url}/web_20261130.1_x86-64.qcow2", card, Silent())


def test_a_list_that_is_out_of_date(tmp_path: Path, to: Path, card: Path) -> None:
    released(
        to, ware(tmp_path / "build", IMAGE), serving=ServingChange(days=1), now=datetime.now(UTC) - timedelta(days=3)
    )
    with serving(to) as url, pytest.raises(VerificationFailed, match="out of date: it lists BEST-BEFORE-"):
        fetch(url, card, Silent())


def test_the_list_has_to_be_signed_where_a_keyring_is_given(tmp_path: Path, to: Path, card: Path, gnupg: None) -> None:
    released(to, ware(tmp_path / "build", IMAGE), sign=gpg_signer("release@example.com"))
    ring = tmp_path / "ring.gpg"
    ring.write_bytes((to / "stable" / "import-pubring.gpg").read_bytes())
    with serving(to) as url:
        fetch(url, card, Silent(), keyring=ring)
        assert card.read_bytes() == IMAGE
        listed = to / "stable" / "SHA256SUMS"
        listed.write_bytes(listed.read_bytes() + b"0" * 64 + b"  more\n")
        with pytest.raises(VerificationFailed, match="is no signature of this list by a key of"):
            fetch(url, card, Silent(), keyring=ring)
        (to / "stable" / "SHA256SUMS.gpg").unlink()
        with pytest.raises(VerificationFailed, match="its list is not signed"):
            fetch(url, card, Silent(), keyring=ring)


def test_statements_have_to_be_signed_where_a_key_is_given(tmp_path: Path, to: Path, card: Path) -> None:
    keys, other = make_key(tmp_path / "release"), make_key(tmp_path / "other")
    made = ware(tmp_path / "build", IMAGE)
    released(to, made)
    with serving(to) as url, pytest.raises(VerificationFailed, match=r"has no .*\.intoto\.jsonl"):
        fetch(url, card, Silent(), keys=(keys.public,))
    released(to, ware(tmp_path / "signed", IMAGE[1:]), attest=statements(load_signer(keys.private)))
    with serving(to) as url:
        fetch(url, card, Silent(), keys=(keys.public,), require=("ovmf",))
        assert card.read_bytes() == IMAGE[1:]
        card.write_bytes(BEFORE)
        for wanted, told in (
            ({"keys": (other.public,)}, "no statement that is signed with this key"),
            ({"keys": (keys.public,), "require": ("raspi3b",)}, "no statement says that it passed on raspi3b"),
        ):
            with pytest.raises(VerificationFailed, match=told):
                fetch(url, card, Silent(), **wanted)
    assert card.read_bytes() == BEFORE


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="loop devices are root's, and the host's kernel has to offer them",
)
def test_a_real_disk(tmp_path: Path, there: Path) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(b"\xff" * (8 * MIB))
    device = Path(run(["losetup", "--find", "--show", backing]).stdout.strip())
    try:
        with serving(there) as url:
            fetch(url, device, Silent())
        assert device.read_bytes()[: len(IMAGE)] == IMAGE
        with serving(there, flips) as url, pytest.raises(VerificationFailed):
            fetch(url, device, Silent())
        assert device.read_bytes()[:BLOCK_BYTES].strip(b"\0") == b""
        os.truncate(backing, 2 * MIB)
        run(["losetup", "--set-capacity", device])
        with serving(there) as url, pytest.raises(UsageError, match="bytes, and the image"):
            fetch(url, device, Silent())
    finally:
        run(["losetup", "--detach", device])
