"""Docker engines other than the host's: those of a Debian 13, each in namespaces of its own, with that Debian's client.

The Debian is made once and kept in the build folder, for as long as nothing that makes it changes. What runs an engine
(engine.sh) ends it with this process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from metallize.build.base.bootstrap import TIME_LIMIT, mirror_of
from metallize.command import Finished, run
from metallize.deadline import Deadline
from tests.conftest import CLI_LIMIT, ROOT

SCRIPT = Path(__file__).with_name("engine.sh")
PACKAGES = (
    "docker.io", "docker-cli", "docker-buildx", "iptables", "iproute2", "ca-certificates",
    "rootlesskit", "slirp4netns", "uidmap", "dbus-user-session",
)  # fmt: skip
USER = 59_999
"""Of the rootless engine: an ordinary user's, of the last that useradd(8) would give one."""
GROUP = "metallize-test-engine"
_UP_SECONDS = 60
_KEPT = ROOT / "build" / "tests" / "engines"


class Kind(StrEnum):
    """What differs among engines of one version."""

    CLASSIC = "classic"
    """Images in the engine's own store."""
    CONTAINERD = "containerd"
    """Images in containerd's, where an image's id is that of its manifest."""
    ROOTLESS = "rootless"
    """An ordinary user's, in a user namespace."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the way to run a command with it."""

    kind: Kind
    site: Path
    """Its own folder, the only one of this host that it sees."""

    @property
    def work(self) -> Path:
        """A folder of its user's."""
        return self.site / "work"

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.site}/docker.sock",
            "DOCKER_CONFIG": str(self.site / "config"),
            "PATH": f"{self.site / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.work),
        }

    def run(self, *words: str | Path, stdin: str = "") -> Finished:
        """Run a command as the engine's user, in its folder; its status is the test's to judge."""
        argv = [*(_as_user() if self.kind is Kind.ROOTLESS else ()), *(str(word) for word in words)]
        done = subprocess.run(
            argv,
            cwd=self.work,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CLI_LIMIT.total_seconds(),
        )
        sys.stdout.write(done.stdout[-20_000:])
        sys.stdout.write(done.stderr[-20_000:])
        return Finished(argv=tuple(argv), status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def metallize(self, *words: str | Path) -> Finished:
        return self.run(sys.executable, "-m", "metallize", *words)


def _as_user() -> Iterator[str]:
    """The words before a command that is an ordinary user's, but that it can read a checkout in root's own folder."""
    yield from ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups")
    yield from (f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set"))
    yield "--"


def debian() -> Path:
    """A root filesystem of Debian 13 with its Docker; those of another recipe are thrown away."""
    if os.geteuid() != 0:
        raise AssertionError("an engine in namespaces of its own takes root: run this test as root")
    recipe = f"{PACKAGES} {mirror_of('debian')}"
    folder = _KEPT / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    for old in _KEPT.glob("*"):
        if old != folder and not old.name.startswith(GROUP):
            shutil.rmtree(old)
    root = folder / "debian"
    if not root.exists():
        unfinished = folder / "unfinished-debian"
        shutil.rmtree(unfinished, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        words = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--format=directory", "trixie"]
        run([*words, unfinished, *filter(None, [mirror_of("debian")])], timeout=TIME_LIMIT)
        unfinished.rename(root)
    return root


@contextmanager
def running(kind: Kind) -> Iterator[Engine]:
    """An engine of that kind with nothing in it; it, its images and its folder are gone in the end."""
    root = debian()
    sweep()
    with ExitStack() as stack:
        site = Path(tempfile.mkdtemp(prefix=f"{GROUP}-", dir=_KEPT))
        lock = os.open(site, os.O_RDONLY)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = Engine(kind=kind, site=site)
        _furnish(engine, root)
        log = stack.enter_context((site / "log").open("wb"))
        user = USER if kind is Kind.ROOTLESS else 0
        keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "sh", SCRIPT, "keep", site.name, root, site, str(user)],
            env={**os.environ, "KEEPER_FOR": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],  # held by all that lives in there
        )
        stack.callback(keeper.wait)
        stack.callback(keeper.terminate)
        deadline = Deadline.after(_UP_SECONDS, f"the {kind} engine answers")
        while subprocess.run(
            [site / "bin/docker", "version"], env=engine.environment, capture_output=True, check=False
        ).returncode:
            said = (site / "log").read_text(errors="replace") if (site / "log").exists() else "it is gone"
            assert keeper.poll() is None, said[-5_000:]
            assert not deadline.expired, said[-5_000:]
            time.sleep(0.2)
        yield engine


def _furnish(engine: Engine, root: Path) -> None:
    """The folders of its user, its configuration, and commands that are the Debian's own but see this host's files."""
    [loader] = root.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")
    plugins = "config/cli-plugins/docker-buildx"
    for place, program in (("bin/docker", "usr/bin/docker"), (plugins, f"usr/libexec/docker/{plugins[7:]}")):
        path = engine.site / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/bin/sh\nexec "{loader}" --library-path "{loader.parent}" --argv0 "$0" "{root / program}" "$@"\n'
        )
        path.chmod(0o755)
    features = {"containerd-snapshotter": engine.kind is Kind.CONTAINERD}
    (engine.site / "daemon.json").write_text(json.dumps({"features": features}))
    for name in ("work", "data", "system"):
        (engine.site / name).mkdir()
    if engine.kind is Kind.ROOTLESS:
        for path in (engine.site, *engine.site.rglob("*")):
            os.chown(path, USER, USER)


def sweep() -> None:
    """Remove what is left of engines whose keeper was killed too."""
    for site in _KEPT.glob(f"{GROUP}-*"):
        lock = os.open(site, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
        for group in groups(site.name):
            group.rmdir()
        shutil.rmtree(site)


def groups(name: str = GROUP) -> list[Path]:
    """The control groups of an engine, or of all, the inner ones first."""
    found = Path("/sys/fs/cgroup").rglob(f"{name}*")
    every = {inner for each in found if each.is_dir() for inner in (each, *(p for p in each.rglob("*") if p.is_dir()))}
    return sorted(every, key=lambda path: len(path.parts), reverse=True)
