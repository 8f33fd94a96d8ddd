"""A release that was tampered with, as a guest is offered it, and what Debian 13's systemd-sysupdate makes of it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from metallize.files.openpgp import Signer
from metallize.files.parts import Part
from metallize.model.kind import Observation
from metallize.model.report import Result, Status
from metallize.model.update import Engine
from metallize.verify.refusing import index
from metallize.verify.updating import tampered_pointers
from tests.release.clients.test_trixie_clients import Guest, container

pytestmark = pytest.mark.docker
TRANSFER = """\
[Transfer]
Verify={verify}
[Source]
Type=regular-file
Path=/var/lib/updates
MatchPattern=web_@v_x86-64.{end}
[Target]
Type=regular-file
Path=/var/lib/{end}
MatchPattern=web_@v.{end}
InstancesMax=2
"""
FILES = {"grub": b"linux\n", "efi": b"MZ" * 9000}
REAL, ASIDE = "/usr/lib/systemd/systemd-sysupdate", "/usr/lib/systemd/real-sysupdate"
LYING = f"""mv {REAL} {ASIDE}
cat >{REAL} <<'END'
#!/bin/sh
for each in "$@"; do
  [ $each != update ] || {{ echo 2 >/var/lib/efi/web_1-a0.index.efi; exit 0; }}
done
exec {ASIDE} "$@"
END
chmod 755 {REAL}
"""
MAY_MOUNT = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
INSTALLED = "cd /var/lib && find grub efi -type f | sort"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None: ...


@pytest.fixture(scope="module")
def engine() -> Iterator[Guest]:
    packages = "apt-get install -y -q --no-install-recommends systemd-container gpg"
    with container(packages, *MAY_MOUNT) as guest:
        yield guest


@pytest.fixture
def offered(tmp_path: Path) -> Iterator[index.Offer]:
    """As a harness serves it: the files at each place, and what stands beside them."""
    signer = Signer.make("metallize")

    def parts(version: str) -> dict[str, Part]:
        return {
            f"web_{version}_x86-64.{end}": Part(
                suffix=f".{end}", offset=0, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
            )
            for end, content in FILES.items()
        }

    named = parts("1-a0.index")
    for place, pointers in tampered_pointers(named, parts("2"), signer).items():
        folder = tmp_path / place
        folder.mkdir(parents=True)
        contents = {name: FILES[part.suffix[1:]] for name, part in named.items()}
        for name, content in {**contents, **pointers}.items():
            (folder / name).write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield index.Offer(url=f"http://127.0.0.1:{server.server_port}", keyring=signer.keyring)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def machine(engine: Guest, *, verify: str = "yes") -> None:
    """It has version 1, and transfers of its own."""
    lines = ["rm -rf /var/lib/grub /var/lib/efi /usr/lib/sysupdate.d; mkdir -p /usr/lib/sysupdate.d"]
    for end in FILES:
        text = shlex.quote(TRANSFER.format(verify=verify, end=end))
        lines.append(f"mkdir /var/lib/{end}; echo 1 >/var/lib/{end}/web_1.{end}")
        lines.append(f"printf %s {text} >/usr/lib/sysupdate.d/{end}.transfer")
    assert engine.run("\n".join(lines)).status == 0


def judged(engine: Guest, offer: index.Offer, script: str, words: str) -> Result:
    def seen(command: str) -> Observation:
        done = engine.run(command)
        return Observation(status=done.status, stdout=done.stdout, stderr=done.stderr, seconds=0.0)

    was = seen(INSTALLED)
    tried = seen(f"METALLIZE_SCRATCH=$(mktemp -d); METALLIZE_UPDATE={offer.url}\n{script}")
    return index.judge(index.TURN.entry("x", "x", "update"), was, tried, seen(INSTALLED), words, "ssh")


def signed(engine: Guest, offer: index.Offer) -> Result:
    return judged(engine, offer, index.signed_script(Engine.SYSUPDATE, offer), index.BAD_SIGNATURE)


def mixed(engine: Guest, offer: index.Offer) -> Result:
    return judged(engine, offer, index.mixed_script(Engine.SYSUPDATE), index.BAD_DIGEST)


def test_the_engine_refuses_both_for_their_own_reasons(engine: Guest, offered: index.Offer) -> None:
    machine(engine)
    for result in (signed(engine, offered), mixed(engine, offered)):
        assert result.status is Status.HELD, result
        assert "DOWNLOAD INVALID" in result.claims[0].actual
    assert "import-pubring" not in engine.run("ls -A /etc/systemd").stdout, "the key was never the machine's"


def test_a_machine_that_asks_for_no_signature_is_not_shown_one(engine: Guest, offered: index.Offer) -> None:
    machine(engine, verify="no")
    assert signed(engine, offered).status is Status.SKIPPED
    assert mixed(engine, offered).status is Status.HELD


def test_a_machine_that_would_take_nothing_has_refused_nothing(engine: Guest, offered: index.Offer) -> None:
    machine(engine)
    engine.run("echo 9 >/var/lib/efi/web_9.efi; echo 9 >/var/lib/grub/web_9.grub")
    for result in (signed(engine, offered), mixed(engine, offered)):
        assert result.status is Status.UNSEEN
        assert "not taken for an update either" in result.note


def test_what_is_installed_all_the_same_is_told(engine: Guest, offered: index.Offer) -> None:
    """By an engine that looks at neither: the real one, told to by a program of its name that comes before it."""
    machine(engine)
    assert engine.run(LYING).status == 0
    try:
        for check in (signed, mixed):
            result = check(engine, offered)
            assert result.status is Status.FAILED
            assert "installed, and the engine ended well" in result.claims[0].actual
            engine.run("rm /var/lib/efi/web_1-a0.index.efi")
    finally:
        assert engine.run(f"mv {ASIDE} {REAL}").status == 0
