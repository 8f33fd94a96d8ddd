"""This host's own systemd as the first process of a machine apart: what it writes outside a folder is gone with it.

Its root is an overlay on this host's, with namespaces of its own for processes, mounts, network and control groups. The
engine's socket is there, and so is the folder. Nothing of the host's own units is started but what every unit needs.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from metallize.command import Finished, run

LIMIT_SECONDS = 60.0
_GROUPS = Path("/sys/fs/cgroup")
_ENTER = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")
_BEGIN = r"""
set -eu
work=$1 keep=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
root=$work/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    for each in $GROUPS_OF; do
        mkdir "$root/sys/fs/cgroup/$each"
        case $each in
            unified) mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/$each" ;;
            systemd) mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/$each" ;;
            *) mount -t cgroup -o "$each" cgroup "$root/sys/fs/cgroup/$each" ;;
        esac
    done
fi
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for each in null zero full random urandom tty kvm; do
    if [ -e "/dev/$each" ]; then touch "$root/dev/$each" && mount --bind "/dev/$each" "$root/dev/$each"; fi
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
touch "$root/run/docker.sock"
mount --bind /run/docker.sock "$root/run/docker.sock"
mount --bind "$keep" "$root$keep"
rm -rf "$root/etc/systemd/system"
mkdir "$root/etc/systemd/system"
for each in systemd-tmpfiles-setup.service systemd-tmpfiles-clean.timer systemd-tmpfiles-setup-dev.service; do
    ln -s /dev/null "$root/etc/systemd/system/$each"  # what empties /tmp at each start has a checkout there to empty
done
printf '[Unit]\nDescription=Nothing of the host\n' >"$root/etc/systemd/system/alone.target"
ip link set lo up
mkdir "$root/before"
cd "$root"
pivot_root . before
umount -l /before
exec env -i PATH="$PATH" container=metallize \
    /lib/systemd/systemd --system --unit=alone.target --log-target=journal --show-status=no
"""


@dataclass(frozen=True)
class Machine:
    """While it runs."""

    pid: int
    """Of its first process, as this host sees it."""

    def __call__(self, *words: str, folder: Path = Path("/"), check: bool = True) -> Finished:
        """Run a command in it, as root."""
        inside = ("env", "-i", f"PATH={os.environ['PATH']}", "HOME=/root", "LANG=C.UTF-8")
        script = f"cd {shlex.quote(str(folder))} && exec {shlex.join((*inside, *words))}"
        return run(("nsenter", "--target", str(self.pid), *_ENTER, "sh", "-c", script), check=check)

    def shows(self, unit: str, *names: str) -> dict[str, str]:
        """What systemd says of a unit."""
        text = self("systemctl", "show", unit, "--property", ",".join(names)).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@contextmanager
def machine(work: Path, keep: Path) -> Iterator[Machine]:
    """One whose writes to `keep` are the host's, too; `work` is an empty folder."""
    name = f"metallize-test-{uuid4().hex[:8]}"
    places = _own_groups(name)
    script = (
        f'for each in {" ".join(shlex.quote(str(each)) for each in places)}; do echo $$ >"$each/cgroup.procs"; done'
    )
    unshare = "exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup sh -c"
    words = ("sh", "-euc", f'{script}; {unshare} "$1" sh "$2" "$3"', "sh", _BEGIN, str(work), str(keep))
    log = work.with_suffix(".log")
    known = " ".join(each.parent.name for each in places if each.parent != _GROUPS)
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            env={"PATH": os.environ["PATH"], "GROUPS_OF": known},
        )  # fmt: skip
    try:
        yield _begun(process, log)
    finally:
        process.send_signal(signal.SIGKILL)  # what it forked goes with it (--kill-child), and all of its processes
        process.wait(LIMIT_SECONDS)
        _remove(places)


def _own_groups(name: str) -> list[Path]:
    """A control group for it in each hierarchy that systemd uses."""
    if (_GROUPS / "cgroup.controllers").exists():
        found = [_GROUPS / name]
    else:
        wanted = ("systemd", "unified", "devices", "memory", "pids", "cpu")
        found = [_GROUPS / each / name for each in wanted if (_GROUPS / each / "cgroup.procs").exists()]
    for each in found:
        each.mkdir()
    return found


def _remove(places: list[Path]) -> None:
    for place in places:
        for folder, _, _ in sorted(os.walk(place, topdown=False), key=lambda each: -len(each[0])):
            end = time.monotonic() + LIMIT_SECONDS
            while Path(folder).exists() and time.monotonic() < end:
                with suppress(OSError):
                    Path(folder).rmdir()
                    break
                time.sleep(0.05)


def _begun(process: subprocess.Popen[bytes], log: Path) -> Machine:
    """Once it is up."""
    end = time.monotonic() + LIMIT_SECONDS
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < end, log.read_text(errors="replace")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            found = Machine(int(children[0]))
            if found("systemctl", "is-active", "alone.target", check=False).stdout.strip() == "active":
                return found
        time.sleep(0.1)
