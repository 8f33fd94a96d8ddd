"""addr, dns and http: the probes run by a shell that has one tool and no other, against servers of this host."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from metallize.model.kind import Claim, Observation
from tests.servers import dns_server, http_server, make_certificate
from tests.unit.checks.conftest import Assert, flow, kinds

pytestmark = pytest.mark.slow  # real sockets, and limits of time to wait for

PLAIN = ("sh", "cat", "sed", "grep", "head", "tail", "wc", "rm", "mktemp", "dd", "od", "tr", "timeout", "getent", "id")
"""What any guest has: the essential packages of Debian, less bash and perl."""
RunWith = Callable[..., dict[str, Claim]]


@pytest.fixture
def run_with(assertion: Assert, tmp_path: Path) -> RunWith:
    """The claims of a goss file over what a shell sees that has only these tools."""

    def run_with(text: str, *tools: str, plain: tuple[str, ...] = PLAIN) -> dict[str, Claim]:
        binaries = tmp_path / "-".join(("bin", *tools))
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        if not binaries.exists():
            binaries.mkdir()
            for name in (*plain, *tools):
                target = "/usr/bin/python3" if name == "python3" else shutil.which(name)
                assert target is not None, f"this host has no {name}"
                (binaries / name).symlink_to(target)
        found = assertion(text)
        kind = kinds()[found.kind]
        begun = time.monotonic()
        done = subprocess.run(
            [binaries / "sh", "-u", "-c", kind.probe(found.resource, found.options)],
            env={"PATH": str(binaries), "METALLIZE_SCRATCH": str(scratch), "LC_ALL": "C"},
            capture_output=True,
            check=False,
            timeout=60,
        )
        stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        (scratch / "limit").unlink(missing_ok=True)
        assert not list(scratch.iterdir()), "a probe leaves nothing behind"
        seconds = time.monotonic() - begun
        seen = Observation(status=done.returncode, stdout=stdout, stderr=stderr, seconds=seconds)
        assert "Syntax error" not in stderr
        return {claim.attribute: claim for claim in kind.judge(found.resource, found.options, seen)}

    return run_with


def holds(claims: dict[str, Claim]) -> bool:
    return bool(claims) and all(claim.holds and not claim.skipped for claim in claims.values())


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http_server() as url:
        yield url


HTTP = ["curl", "wget", "python3", "bash", "perl"]
FULL = HTTP[:3]


def http(url: str, **attributes: object) -> str:
    return flow({"http": {url: {"status": 200, **attributes}}})


@pytest.mark.parametrize("tool", HTTP)
def test_what_a_server_answers(run_with: RunWith, server: str, tool: str) -> None:
    headers = ["Content-Type: text/plain", "X-Lower: Yes", "!Location"]
    assert holds(run_with(http(f"{server}/ok", headers=headers, body=["/^second$/", "!third"]), tool))
    assert holds(run_with(http(f"{server}/ok", body="first\nsecond\n"), tool))
    assert holds(run_with(http(f"{server}/none", status=404, body=["none such"]), tool))
    claims = run_with(http(f"{server}/none", body=["x"]), tool)
    assert (claims["status"].actual, claims["status"].holds, claims["body"].skipped) == ("404", False, True)


@pytest.mark.parametrize("tool", HTTP)
def test_what_a_server_is_asked(run_with: RunWith, server: str, tool: str) -> None:
    sent = {"method": "PUT", "request-headers": ["X-One: it's 1", "Host: other"], "request-body": "a=1\n'b'"}
    body = [
        "/^PUT /echo[?]q=1$/",
        "X-One: it's 1",
        "/^Host: other$/",
        "a=1",
        "/^'b'$/",
        r"/User-Agent: goss/v?[0-9]+[.]/",
    ]
    claims = run_with(http(f"{server}/echo?q=1", **sent, body=body), tool)
    assert holds(claims), claims
    claims = run_with(http(f"{server}/echo", body=["/^GET /", "!Content-Type"]), tool)
    assert holds(claims), claims


@pytest.mark.parametrize("tool", HTTP)
def test_a_login(run_with: RunWith, server: str, tool: str) -> None:
    assert holds(run_with(http(f"{server}/private", username="me", password="secret", body=["in"]), tool))
    assert holds(run_with(http(f"{server}/private", username="me", password="wrong", status=401), tool))
    assert holds(run_with(http(f"{server.replace('//', '//me:secret@')}/private"), tool))


@pytest.mark.parametrize("tool", HTTP)
def test_a_redirect(run_with: RunWith, server: str, tool: str) -> None:
    stay = {"status": 302, "no-follow-redirects": True, "headers": ["Location: /ok"]}
    assert holds(run_with(http(f"{server}/to-ok", **stay), tool))
    claims = run_with(http(f"{server}/to-ok", body=["first"]), tool)
    assert holds(claims) is (tool in FULL), claims
    if tool not in FULL:
        assert claims["status"].note == (
            "it redirects to /ok, and only curl, GNU wget or python3 in the guest could follow"
        )
    assert not run_with(http(f"{server}/loop", status=302), tool)["status"].holds


@pytest.mark.slow
@pytest.mark.parametrize("tool", HTTP)
def test_a_server_that_does_not_answer(run_with: RunWith, server: str, tool: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    claim = run_with(http(f"http://localhost:{port}/ok"), tool)["status"]
    assert claim.actual == "not seen"
    assert "refused" in claim.note.lower() or "failed" in claim.note.lower() or "connect" in claim.note.lower(), claim
    begun = time.monotonic()
    assert not run_with(http(f"{server}/slow", timeout=1000), tool)["status"].holds
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize("tool", HTTP)
def test_a_proxy(run_with: RunWith, server: str, tool: str) -> None:
    claims = run_with(http("http://far.invalid/echo", proxy=server, body=["http://far.invalid/echo"]), tool)
    assert holds(claims), claims


@pytest.mark.parametrize("tool", FULL)
def test_tls(run_with: RunWith, tmp_path: Path, tool: str) -> None:
    certificate = make_certificate(tmp_path)
    with http_server(certificate) as url:
        assert not run_with(http(f"{url}/ok"), tool)["status"].holds
        assert holds(run_with(http(f"{url}/ok", **{"allow-insecure": True}), tool))
        assert holds(run_with(http(f"{url}/ok", **{"ca-file": str(tmp_path / "crt")}), tool))
        both = {"cert-file": str(tmp_path / "crt"), "key-file": str(certificate), "ca-file": str(tmp_path / "crt")}
        assert holds(run_with(http(f"{url}/ok", **both), tool))


def test_a_guest_that_cannot_ask_says_so(run_with: RunWith, server: str) -> None:
    for tools in ((), ("bash", "perl")):
        url = server if not tools else server.replace("http:", "https:")
        claim = run_with(http(f"{url}/ok"), *tools)["status"]
        assert not claim.holds
        assert claim.note.startswith("the guest has neither curl, GNU wget nor python3")
    assert (
        "needs bash with timeout, perl or python3"
        in run_with("addr: {'tcp://127.0.0.1:1': {reachable: false}}")["reachable"].note
    )
    asked = "dns: {x: {resolvable: false, server: 127.0.0.1}}"
    assert run_with(asked)["resolvable"].note.startswith("asking a server needs perl")
    no_getent = tuple(name for name in PLAIN if name != "getent")
    assert "needs getent" in run_with("dns: {x: {resolvable: false}}", "true", plain=no_getent)["resolvable"].note


OPENERS = ["bash", "perl", "python3"]


@pytest.mark.parametrize("tool", OPENERS)
def test_an_address(run_with: RunWith, tool: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert holds(run_with(flow({"addr": {f"tcp://127.0.0.1:{port}": {"reachable": True, "timeout": 500}}}), tool))
        assert holds(run_with(flow({"addr": {"x": {"address": f"localhost:{port}", "reachable": True}}}), tool))
        udp = {f"udp://127.0.0.1:{port}": {"reachable": True}}
        assert holds(run_with(flow({"addr": udp}), tool)), "as in goss, any address with a route is reachable by UDP"
    claim = run_with(flow({"addr": {f"tcp://127.0.0.1:{port}": {"reachable": True}}}), tool)["reachable"]
    assert (claim.holds, claim.actual) == (False, "false")
    assert "refused" in claim.note
    assert holds(run_with(flow({"addr": {"tcp://no.such.invalid:80": {"reachable": False, "timeout": 3000}}}), tool))


@pytest.mark.parametrize("tool", OPENERS[1:])
def test_an_address_from_an_address(run_with: RunWith, tool: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        own = {"reachable": True, "local-address": "127.0.0.9"}
        assert holds(run_with(flow({"addr": {here: own}}), tool))
        accepted, peer = listening.accept()
        accepted.close()
        assert peer[0] == "127.0.0.9"
        foreign = {"reachable": False, "local-address": "192.0.2.1"}
        assert holds(run_with(flow({"addr": {here: foreign}}), tool))
        assert holds(run_with(flow({"addr": {here.replace("tcp", "tcp4"): {"reachable": True}}}), tool))
        assert holds(run_with(flow({"addr": {here.replace("tcp", "tcp6"): {"reachable": False}}}), tool))


def name(*labels: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


RECORDS = {
    ("linebreaks", "A"): (bytes([192, 0, 2, 10]), bytes([10, 10, 10, 10])),
    ("linebreaks", "AAAA"): (bytes.fromhex("20010db8" + "00" * 11 + "0a"),),
    ("c.test", "CNAME"): (name("a", "test"),),
    ("test", "NS"): (name("ns2", "test"), name("ns1")[:-1] + b"\xc0\x0c"),
    ("test", "MX"): (b"\0\x0a" + name("b", "test"), b"\0\5" + name("a", "test")),
    ("_s._tcp.test", "SRV"): (b"\0\0\0\5\1\xbb" + name("a", "test"),),
    ("test", "TXT"): (b'\5Hello\4 "it',),
    ("test", "CAA"): (b"\0\5issueexample.org", b"\0\x09issuewild;"),
    ("test", "SSHFP"): (b"\1\2" + bytes.fromhex("422f22ef"),),
    ("1.2.0.192.in-addr.arpa", "PTR"): (name("host", "test"),),
}
ASKED = {
    "linebreaks": ["10.10.10.10", "192.0.2.10", "2001:db8::a"],
    "A:linebreaks": ["10.10.10.10", "192.0.2.10"],
    "AAAA:linebreaks": ["2001:db8::a"],
    "CNAME:c.test": ["a.test."],
    "NS:test": ["ns1.test.", "ns2.test."],
    "MX:test": ["10 b.test.", "5 a.test."],
    "SRV:_s._tcp.test": ["0 5 443 a.test."],
    "TXT:test": [' \\"it', "Hello"],
    "CAA:test": ["0 issue example.org", "0 issuewild ;"],
    "SSHFP:test": ["1 2 422F22EF"],
    "PTR:192.0.2.1": ["host.test."],
}


@pytest.mark.parametrize("tool", OPENERS)
def test_a_name_asked_of_a_server(run_with: RunWith, tool: str) -> None:
    with dns_server(RECORDS) as server:
        for asked, expected in ASKED.items() if tool == "perl" else list(ASKED.items())[:6:2]:
            options = {"resolvable": True, "server": server, "timeout": 2000, "addrs": {"equal": expected}}
            claims = run_with(flow({"dns": {asked: options}}), tool)
            assert holds(claims), claims
        claims = run_with(flow({"dns": {"MX:none.test": {"resolvable": True, "server": server}}}), tool)
        assert claims["resolvable"].note == "the server says NXDOMAIN"
        assert holds(run_with(flow({"dns": {"none.test": {"resolvable": False, "server": server}}}), tool))
    claim = run_with(flow({"dns": {"A:test": {"resolvable": False, "server": server, "timeout": 100}}}), tool)[
        "resolvable"
    ]
    assert claim.note.startswith(f"the server {server} was not heard")


@pytest.mark.slow
@pytest.mark.parametrize("tool", OPENERS)
def test_a_question_is_repeated(run_with: RunWith, tool: str) -> None:
    with dns_server(RECORDS, deaf=2) as server:
        options = {"resolvable": True, "server": server, "timeout": 500}
        assert holds(run_with(flow({"dns": {"A:linebreaks": options}}), tool))


def test_a_name_by_the_resolver(run_with: RunWith) -> None:
    assert holds(run_with("dns: {localhost: {resolvable: true, addrs: [127.0.0.1], timeout: 2000}}"))
    assert holds(run_with("dns: {x: {resolve: 127.0.0.1, resolveable: true, addrs: {consist-of: [127.0.0.1]}}}"))
    claims = run_with("dns: {localhost: {resolvable: true, addrs: [192.0.2.1], timeout: 2000}}")
    assert re.search(r'missing: "192', claims["addrs"].note)


@pytest.mark.parametrize("kind", ["addr", "dns", "http"])
def test_no_value_runs_as_shell(run_with: RunWith, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bad = "a'b\"$(touch${IFS}pwned)`x`;&|*\\"
    options: dict[str, dict[str, object]] = {
        "addr": {"address": f"tcp://{bad}:1", "reachable": True},
        "dns": {"resolve": bad, "resolvable": True},
        "http": {
            "url": f"http://127.0.0.1:1/{bad}", "status": 1, "method": "'", "request-headers": [f"X: {bad}"],
            "username": bad, "password": bad, "request-body": bad, "ca-file": bad, "cert-file": bad, "key-file": bad,
        },
    }  # fmt: skip
    for tool in ("curl", "bash", "python3"):
        assert not any(
            claim.holds and not claim.skipped for claim in run_with(flow({kind: {"x": options[kind]}}), tool).values()
        )
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("tool", HTTP)
def test_a_body_that_is_too_long_is_not_looked_at(server: str, run_with: RunWith, tool: str) -> None:
    claims = run_with(http(f"{server}/long", body=["well"]), tool)
    assert claims["status"].holds
    assert not claims["body"].holds
    assert claims["body"].note == "the body is longer than the 1 MiB that are looked at"
    assert len(claims["body"].actual) < 1000


@pytest.mark.slow
@pytest.mark.parametrize("tool", HTTP)
def test_an_answer_that_does_not_end_is_none(server: str, run_with: RunWith, tool: str) -> None:
    begun = time.monotonic()
    claims = run_with(http(f"{server}/endless", timeout=1000), tool)
    assert not claims["status"].holds
    assert "nothing in time" in claims["status"].note or "timed out" in claims["status"].note
    assert time.monotonic() - begun < 8


@pytest.fixture
def broken() -> Iterator[str]:
    """A server that hangs up in the middle of each body."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(65_536)
                        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nall is well\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("tool", HTTP)
def test_a_body_that_breaks_off_is_no_answer(broken: str, run_with: RunWith, tool: str) -> None:
    """What would have come may be anything."""
    claims = run_with(http(broken, body=["!error"]), tool)
    assert claims["status"].unseen
    assert not holds(claims)
