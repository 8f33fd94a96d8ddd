"""Probes, run for real by this host's sh."""

from __future__ import annotations

import getpass
import grp
import hashlib
import os
import pwd
import socket
from pathlib import Path

import pytest

from tests.unit.checks.conftest import Assert, Run, flow, kinds

NASTY = "a b'c\"d$(touch pwned)`x`;&|*?[x]{y}#~\\n"


def test_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / NASTY
    path.write_text("one\ntwo\n")
    path.chmod(0o640)
    expected = {
        "exists": True,
        "mode": "0640",
        "size": 8,
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "uid": os.getuid(),
        "group": grp.getgrgid(path.stat().st_gid).gr_name,
        "gid": path.stat().st_gid,
        "filetype": "file",
        "contents": ["/^one$/", "!three"],
        "md5": hashlib.md5(b"one\ntwo\n").hexdigest(),  # noqa: S324 - goss has it
        "sha256": hashlib.sha256(b"one\ntwo\n").hexdigest(),
        "sha512": hashlib.sha512(b"one\ntwo\n").hexdigest(),
    }
    claims = run(flow({"file": {str(path): expected}}))
    assert set(claims) == set(expected)
    assert all(claim.holds and not claim.skipped for claim in claims.values()), claims
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("kind", ["symlink", "directory", "socket", "pipe", "character-device", "missing"])
def test_a_filetype(run: Run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    match kind:
        case "symlink":
            path.symlink_to("/no/where")
        case "directory":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind("x")
        case "pipe":
            os.mkfifo(path)
        case "character-device":
            path = Path("/dev/null")
    claims = run(flow({"file": {str(path): {"exists": True, "filetype": "file" if kind == "missing" else kind}}}))
    assert claims["exists"].holds is (kind != "missing")
    assert claims["filetype"].skipped is (kind == "missing")
    assert claims["filetype"].holds


def test_a_link_says_where_it_leads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/no/where")
    assert run(flow({"file": {f"{tmp_path}/x": {"exists": True, "linked-to": "/no/where"}}}))["linked-to"].holds


def test_a_file_in_a_home_folder(run: Run) -> None:
    claims = run(flow({"file": {"~root": {"exists": True, "filetype": "directory"}}}))
    assert claims["filetype"].holds


def test_users_and_groups(run: Run) -> None:
    me = pwd.getpwuid(os.getuid())
    expected = {"exists": True, "uid": me.pw_uid, "gid": me.pw_gid, "home": me.pw_dir, "shell": me.pw_shell}
    expected["groups"] = [grp.getgrgid(me.pw_gid).gr_name]
    claims = run(flow({"user": {getpass.getuser(): expected}}))
    assert all(claim.holds for claim in claims.values()), claims
    assert run("user: {nobody-at-all: {exists: false}}")["exists"].holds
    assert run("user: {0: {exists: false}}")["exists"].holds
    group = grp.getgrgid(0)
    assert run(flow({"group": {group.gr_name: {"exists": True, "gid": 0}}}))["gid"].holds
    assert run("group: {none-at-all: {exists: false}}")["exists"].holds


def test_a_port(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        claims = run(flow({"port": {f"tcp:{port}": {"listening": True, "ip": ["127.0.0.1"]}}}))
        assert all(claim.holds for claim in claims.values()), claims
        assert run(flow({"port": {f"udp:{port}": {"listening": False}}}))["listening"].holds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        assert run(flow({"port": {f"udp:{bound.getsockname()[1]}": {"listening": True}}}))["listening"].holds
    assert run(flow({"port": {f"tcp:{port}": {"listening": False}}}))["listening"].holds


def test_a_process(run: Run) -> None:
    own = Path("/proc/self/comm").read_text().strip()
    assert run(flow({"process": {own: {"running": True}}}))["running"].holds
    assert run("process: {no-such-program: {running: false}}")["running"].holds
    assert run("process: {a-name-that-is-longer-than-comm: {running: false}}")["running"].holds


def test_a_kernel_parameter(run: Run) -> None:
    assert run("kernel-param: {kernel.ostype: {value: Linux}}")["value"].holds
    assert run("kernel-param: {kernel/pid_max: {value: {gt: 100}}}")["value"].holds
    assert not run("kernel-param: {kernel.no_such: {value: 1}}")["value"].holds


def test_a_mount(run: Run) -> None:
    claims = run("mount: {/proc: {exists: true, filesystem: proc, source: proc, opts: [rw]}, }")
    assert all(claim.holds for claim in claims.values()), claims
    assert run("mount: {/: {exists: true, usage: {le: 100}}}")["usage"].holds
    assert run("mount: {/no/where: {exists: false}}")["exists"].holds


def test_an_interface(run: Run) -> None:
    assert run("interface: {lo: {exists: true, mtu: {gt: 0}}}")["mtu"].holds
    assert run("interface: {none0: {exists: false}}")["exists"].holds


def test_a_package_and_a_service_are_looked_for_without_error(run: Run) -> None:
    package = run("package: {no-such-package: {installed: false}}")["installed"]
    assert package.holds or "no dpkg" in package.note
    assert run("service: {no-such-service: {running: false, enabled: false}}")["running"].holds


def test_a_command(run: Run) -> None:
    claims = run(
        flow({"command": {"echo out; echo err >&2; exit 3": {"exit-status": 3, "stdout": ["out"], "stderr": ["err"]}}})
    )
    assert all(claim.holds for claim in claims.values()), claims
    claims = run(flow({"command": {"label": {"exec": "printf '%s' \"it's\"", "exit-status": 0, "stdout": "it's"}}}))
    assert all(claim.holds for claim in claims.values()), claims


def test_a_command_is_ended_in_time(run: Run) -> None:
    claims = run("command: {sleep 20: {exit-status: 0, timeout: 1000}}")
    assert claims["exit-status"].note.startswith("the command did not end within 1 s")


NAMES = {
    "service": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{running: true}}}}",
    "user": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{exists: true}}}}",
    "package": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{installed: true}}}}",
    "group": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{exists: true}}}}",
    "process": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{running: true}}}}",
    "interface": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{exists: true}}}}",
    "kernel-param": f"{{'{NASTY.replace(chr(39), chr(39) * 2)}': {{value: x}}}}",
    "mount": f"{{'/{NASTY.replace(chr(39), chr(39) * 2)}': {{exists: true}}}}",
}


@pytest.mark.parametrize("kind", NAMES)
def test_no_name_runs_as_shell(run: Run, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claims = run(f"{kind}: {NAMES[kind]}")
    assert not any(claim.holds for claim in claims.values())
    assert {path.name for path in tmp_path.iterdir()} == {"goss.yaml"}


@pytest.mark.parametrize("kind", sorted(set(kinds()) - {"gossfile"}))
def test_every_example_is_probed_without_a_syntax_error(assertion: Assert, run: Run, kind: str) -> None:
    example = "\n".join(f"  {line}" for line in kinds()[kind].example.splitlines())
    claims = run(f"{kind}:\n{example}\n")
    assert claims
