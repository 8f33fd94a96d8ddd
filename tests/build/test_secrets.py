"""--secret and --ssh with a real BuildKit: the layer reads them, and nothing that is left holds them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from metallize.build.engines import buildkit
from metallize.build.engines.docker import DockerEngine
from tests.conftest import ROOT, Cli

from .conftest import HEADER, Site

pytestmark = pytest.mark.docker
TOKEN = "s3cret-0f-the-forge"
LAYER = f"""{HEADER}\
RUN --mount=type=secret,id=token,required sha256sum </run/secrets/token >/etc/token.sum \\
 && echo "the token is $(cat /run/secrets/token)" >&2
RUN --mount=type=secret,id=other test ! -e /run/secrets/other
"""
AGENT = f"{HEADER}RUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo asked >/etc/agent\n"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent of its own, as `eval "$(ssh-agent)"` starts one."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    for name in ("SSH_AUTH_SOCK", "SSH_AGENT_PID"):
        found = re.search(rf"{name}=([^;]+)", said)
        assert found
        monkeypatch.setenv(name, found[1])
    yield
    subprocess.run(["ssh-agent", "-k"], capture_output=True, check=True)


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def holds(path: Path) -> bool:
    return path.is_file() and TOKEN.encode() in path.read_bytes()


def test_a_layer_reads_a_secret_and_nothing_holds_it(
    site: Site, cli: Cli, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, and from the environment; by `build` and by the printed plan."""
    profile = site.profile("kept.iso", "system.dockerfile", site.layer("forge.dockerfile", LAYER))
    refused = cli("build", profile, cwd=site.folder)
    assert refused.status == 2
    assert "forge.dockerfile:3:1: layer forge.dockerfile needs the secret `token`" in refused.stderr
    assert not site.build.exists()
    source = site.folder.parent / "to ken, 1.txt"
    source.write_text(TOKEN)
    words = ("--secret", f'id=token,"src={source}"')
    done = cli("build", profile, *words, "--json", "-v", cwd=site.folder)
    assert done.status == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "the token is ***" in done.stdout
    assert "RUN goes without the secret `other`" in done.stdout
    manifest = json.loads((site.build / "kept.iso.manifest.json").read_text())
    tag = manifest["layers"][-1]["tag"]
    docker = str(buildkit.find_cli().path)
    assert TOKEN not in said(docker, "history", "--no-trunc", tag) + said(docker, "image", "inspect", tag)
    look = f"cat /etc/token.sum; grep -rl {TOKEN} / --exclude-dir=proc --exclude-dir=sys || echo nowhere"
    inside = said(docker, "run", "--rm", "--network", "none", tag, "sh", "-c", look)
    assert inside.split()[0] == hashlib.sha256(TOKEN.encode()).hexdigest()
    assert inside.splitlines()[-1] == "nowhere"
    assert not [path for path in site.folder.rglob("*") if holds(path)]
    again = cli("build", profile, *words, "--json", cwd=site.folder)
    assert '"built": false' in again.stdout

    monkeypatch.setenv("FORGE", TOKEN)
    plan = cli("plan", profile, "--secret", "id=token,env=FORGE", "--set", "output.file=printed.iso", cwd=site.folder)
    assert plan.status == 0
    assert TOKEN not in plan.stdout
    subprocess.run([docker, "image", "rm", tag], capture_output=True, check=True)
    made = subprocess.run(["sh"], input=plan.stdout, cwd=site.folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (site.build / "printed.iso").is_file()
    assert engine.inspect(tag) is not None, "the same key, whatever the secret's source is"


@pytest.mark.usefixtures("agent")
def test_a_layer_talks_to_the_agent_of_whoever_builds(site: Site, cli: Cli) -> None:
    profile = site.profile("agent.iso", "system.dockerfile", site.layer("agent.dockerfile", AGENT))
    done = cli("build", profile, "--ssh", "default", cwd=site.folder)
    assert done.status == 0, done.stderr
    refused = cli("build", profile, "--ssh", "defautl=/", cwd=site.folder)
    assert refused.status == 2
    assert "needs the SSH agent `default`" in refused.stderr


def test_a_run_of_pytest_lends_it_too(site: Site) -> None:
    """What the gate builds it builds as `build` does; a setting that is no number keeps the guest from starting."""
    profile = site.profile("gate.iso", "system.dockerfile", site.layer("forge.dockerfile", LAYER))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "METALLIZE_GUESTS": "many", "TOKEN": TOKEN}

    def gate(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--profile", str(profile)]
        return subprocess.run(
            [*argv, "--machine", "seabios", *words],
            cwd=site.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = gate()
    assert refused.returncode == 1
    assert "forge.dockerfile:3:1: layer forge.dockerfile needs the secret `token`" in refused.stdout
    assert "the machinery broke" not in refused.stdout
    assert not (site.build / "gate.iso").exists()
    done = gate("--secret", "id=token,env=TOKEN", "-v")
    assert "METALLIZE_GUESTS=many" in done.stdout
    assert (site.build / "gate.iso").is_file(), done.stdout
    assert "RUN goes without the secret `other`" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    assert "METALLIZE_GUESTS=many" in gate().stdout, "nothing has changed, so nothing is asked for"
    site.layer("forge.dockerfile", f"{LAYER}RUN true\n")
    assert "needs the secret `token`" in gate().stdout, "the image is not what the profile makes now"


def test_a_secret_that_nobody_takes_is_refused(site: Site) -> None:
    env = {**os.environ, "TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "metallize", "build", site.profile("kept.iso"), "--secret", "id=token,env=TOKEN"],
        cwd=site.folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no layer mounts `token`" in done.stderr
    assert TOKEN not in done.stderr
