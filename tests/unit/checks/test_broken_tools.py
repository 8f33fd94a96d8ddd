"""A guest whose tools are not there, crash or cannot look: no false claim holds for that, whatever it claims.

Each claim here is the opposite of what this host shows. Its probe runs with one tool after the other broken.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.config import load_suite
from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Observation
from tests.servers import http_server
from tests.unit.checks.conftest import kinds, vocabulary

BROKEN = {
    "absent": None,
    "crashes": "#!/bin/sh\nkill -SEGV $$\n",
    "cannot look": "#!/bin/sh\necho no access >&2\nexit 5\n",
}
OF_THE_SHELL = {"sh", "echo", "printf", "test", "true", "false", "kill", "command", "timeout"}
"""What a probe could not run without, and timeout(1), which stands for what it runs."""
SECRET = "one\nsecret\n"


@pytest.fixture
def listening() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        yield server.getsockname()[1]


def is_not(element: str) -> dict[str, Any]:
    return {"not": {"contain-element": element}}


def lies(folder: Path, port: int, url: str) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind and name, claims none of which is true; `exists: true` and its like are, where more is claimed."""
    file = folder / "secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    link = folder / "link"
    if not link.is_symlink():
        link.symlink_to("/no/where")
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    me = os.getuid()
    return {
        "file": {
            str(file): {"exists": False},
            "contents": {"path": str(file), "exists": True, "contents": ["!secret"]},
            "stat": {"path": str(file), "exists": True, "mode": {"not": "0600"}, "uid": {"not": me}, "size": {"lt": 5}},
            "sum": {"path": str(file), "exists": True, "sha256": {"not": digest}},
            "link": {"path": str(link), "exists": True, "linked-to": {"not": "/no/where"}},
        },
        "user": {
            "root": {"exists": False},
            "groups": {"username": "root", "exists": True, "groups": is_not("root")},
        },
        "group": {"root": {"exists": False}, "gid": {"groupname": "root", "exists": True, "gid": {"not": 0}}},
        "port": {
            f"tcp:{port}": {"listening": False},
            "ip": {"port": f"tcp:{port}", "listening": True, "ip": is_not("127.0.0.1")},
        },
        "mount": {
            "/proc": {"exists": False},
            "opts": {"mountpoint": "/proc", "exists": True, "opts": is_not("rw"), "filesystem": {"not": "proc"}},
            "usage": {"mountpoint": "/proc", "exists": True, "usage": {"lt": 0}},
        },
        "interface": {
            "lo": {"exists": False},
            "addrs": {"name": "lo", "exists": True, "addrs": is_not("127.0.0.1/8"), "mtu": {"not": 65536}},
        },
        "package": {
            "dpkg": {"installed": False},
            "versions": {"name": "dpkg", "installed": True, "versions": {"have-len": 0}},
        },
        "kernel-param": {"kernel.ostype": {"value": {"not": "Linux"}}},
        "command": {
            "true": {"exit-status": {"not": 0}},
            "echo secret": {"exit-status": 0, "stdout": ["!secret"]},
            "echo secret >&2": {"exit-status": 0, "stderr": ""},
        },
        "addr": {f"tcp://127.0.0.1:{port}": {"reachable": False, "timeout": 20_000}},
        "dns": {"localhost": {"resolvable": False, "timeout": 20_000}},
        "http": {
            url: {"status": {"not": 200}, "timeout": 20_000},
            "body": {"url": url, "status": 200, "body": ["!second"], "timeout": 20_000},
        },
        "process": {"bash-or-whatever-runs-this": {"comm": comm(), "running": False}},
    }


def comm() -> str:
    """Of process 1, which runs as long as this host."""
    return Path("/proc/1/comm").read_text().strip()


def assertions(folder: Path, kind: str, claims: dict[str, dict[str, Any]]) -> tuple[Assertion, ...]:
    path = folder / "goss.yaml"
    path.write_text(yaml.safe_dump({kind: claims}))
    return tuple(load_suite(path, vocabulary=vocabulary()))


def judged(each: Assertion, tools: Path) -> list[Claim]:
    kind = kinds()[each.kind]
    done = subprocess.run(
        ["/bin/sh", "-c", kind.probe(each.resource, each.options)],
        env={"PATH": str(tools), "LC_ALL": "C", "METALLIZE_SCRATCH": str(tools.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    seen = Observation(status=done.returncode, stdout=stdout, stderr=stderr, seconds=0.1)
    return list(kind.judge(each.resource, each.options, seen))


def is_true_here(claim: Claim) -> bool:
    """Of the first attribute of a claim about others."""
    return (claim.attribute, claim.expected) in {
        ("exists", "true"), ("listening", "true"), ("installed", "true"), ("status", "200"), ("exit-status", "0"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(kinds()) - {"gossfile", "matching", "service"}))
def test_no_false_claim_holds_where_a_tool_is_broken(kind: str, tmp_path: Path, listening: int) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    with http_server() as url:
        claims = assertions(tmp_path, kind, lies(tmp_path, listening, f"{url}/ok")[kind])
        for each in claims:
            probe = kinds()[kind].probe(each.resource, each.options)
            used = {name: shutil.which(name) for name in re.findall(r"[a-z][a-z0-9-]*", probe)}
            there = {name: place for name, place in used.items() if place} | {"sh": "/bin/sh"}
            for name, place in there.items():
                (tools / name).unlink(missing_ok=True)
                (tools / name).symlink_to(place)
            held = [claim for claim in judged(each, tools) if claim.holds and not claim.skipped]
            assert all(is_true_here(claim) for claim in held), f"{held} is true on this host"
            for name in sorted(set(there) - OF_THE_SHELL):
                for how, text in BROKEN.items():
                    (tools / name).unlink()
                    if text is not None:
                        (tools / name).write_text(text)
                        (tools / name).chmod(0o755)
                    false = [
                        claim
                        for claim in judged(each, tools)
                        if claim.holds and not claim.skipped and not is_true_here(claim)
                    ]
                    assert not false, f"{name} {how}: {false}"
                    (tools / name).unlink(missing_ok=True)
                    (tools / name).symlink_to(there[name])
