"""What scripts/bench measures: see its comment, and `main` for the figures and what each may be at most."""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import yaml

from metallize.command import run, spawn
from metallize.model.boot import ConsoleRules
from metallize.qemu.console import SerialConsole
from metallize.qemu.rules import Scanner
from metallize.qemu.watch import BootWatch

ROOT = Path(__file__).resolve().parents[2]
LIMIT = timedelta(minutes=30)
MIB = 1 << 20
BOOT_SECONDS = 600
BASE = "debian:trixie"
PEER_TOOLS = [
    "mkosi",
    "systemd-repart",
    "systemd-boot",
    "systemd-ukify",
    "dosfstools",
    "mtools",
    "e2fsprogs",
    "kmod",
    "zstd",
    "xz-utils",
    "cpio",
    "fdisk",
    "udev",
    "live-build",
    "debootstrap",
    "squashfs-tools",
    "xorriso",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "isolinux",
    "syslinux",
    "syslinux-common",
    "ca-certificates",
    "debian-archive-keyring",
]
COMMON_PACKAGES = [
    "initramfs-tools",
    "zstd",
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "iproute2",
    "login",
    "less",
    "openssh-server",
    "libpam-systemd",
    "sudo",
    "passwd",
]
"""What the layers of the measured profiles install, beside the kernel."""
DISK_PACKAGES = ["fdisk", "e2fsprogs", "dosfstools"]
LIVE_PACKAGES = ["live-boot", "live-boot-initramfs-tools"]

# Runs a command as the root of its own mount namespace: chroot(2) alone would not let mkosi pivot.
ENTER = """
mount --bind "$1" "$1"; cd "$1"; shift
mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs tmpfs tmp; mount -t tmpfs tmpfs run
cat /etc/resolv.conf >.resolv.conf; cp .resolv.conf etc/resolv.conf
mkdir -p .old; pivot_root . .old; cd /; umount -l /.old
exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value and what it may be at most, in the same unit."""

    name: str
    value: float
    limit: float
    unit: str
    made_of: str

    @property
    def holds(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "holds" if self.holds else f"MISSED by {self.value / self.limit - 1:.0%}"
        return f"{self.name}: {self.value:.2f} {self.unit} (at most {self.limit:g}): {verdict}    [{self.made_of}]"


@dataclass(slots=True)
class Bench:
    """The scratch folder, what was measured so far, and the highest memory use of the metallize process."""

    scratch: Path
    figures: list[Figure] = field(default_factory=list)
    peak_bytes: int = 0

    def note(self, text: str) -> None:
        sys.stderr.write(f"==> {text}\n")

    def add(self, name: str, value: float, limit: float, unit: str, made_of: str) -> None:
        self.figures.append(Figure(name=name, value=value, limit=limit, unit=unit, made_of=made_of))
        sys.stdout.write(f"{self.figures[-1]}\n")
        sys.stdout.flush()

    def metallize(self, *args: str | Path, check: bool = True) -> float:
        """Run metallize, watch its memory, and return the seconds it took."""
        log = self.scratch / f"metallize-{len(list(self.scratch.glob('metallize-*.log')))}.log"
        start = time.monotonic()
        with log.open("wb") as output:
            argv = [sys.executable, "-m", "metallize", *args]
            with spawn(argv, stdout=output, stderr=subprocess.STDOUT, cwd=self.scratch) as process:
                while process.poll() is None:
                    self.peak_bytes = max(self.peak_bytes, _peak_bytes(process.pid))
                    time.sleep(0.02)
        seconds = time.monotonic() - start
        if check and process.returncode != 0:
            raise SystemExit(f"error: {' '.join(map(str, args))} failed\n{log.read_text(errors='replace')[-3000:]}")
        return seconds

    def profile(self, name: str, *, last_layer: str | None = None) -> Path:
        """A shipped profile in the scratch folder, with one more layer of one line on top."""
        content = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text())
        if last_layer is not None:
            content["images"].append("bench-last.dockerfile")
            (self.scratch / "bench-last.dockerfile").write_text(
                "# The layer whose one line changes.\nARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
                f"RUN echo '{last_layer}' >/etc/bench\n"
            )
        file = self.scratch / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return file


def _peak_bytes(pid: int) -> int:
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def timed(argv: Sequence[str | Path], *, log: Path | None = None, env: dict[str, str] | None = None) -> float:
    """Run a tool to its end; returns seconds. Raises CommandError when it fails."""
    start = time.monotonic()
    done = run(argv, env=env, timeout=LIMIT)
    seconds = time.monotonic() - start
    if log is not None:
        log.write_text(done.stdout + done.stderr)
    return seconds


# ---------------------------------------------------------------- docker


def docker_cli() -> str:
    """A docker command that builds with BuildKit: with buildx, or from before it was needed."""
    for folder in os.environ["PATH"].split(os.pathsep):
        cli = Path(folder) / "docker"
        if not os.access(cli, os.X_OK):
            continue
        version = re.search(r"version (\d+)", run([cli, "--version"], check=False).stdout)
        if version and (int(version[1]) < 23 or run([cli, "buildx", "version"], check=False).status == 0):
            return str(cli)
    raise SystemExit("error: no docker command here can build with BuildKit\n  next: install docker-buildx")


def docker_build(cli: str, dockerfile: Path, tag: str, parent: str) -> float:
    argv: list[str | Path] = [cli, "build", "--quiet", "--build-arg", f"METALLIZE_SRC_IMG={parent}", "--tag", tag]
    argv += ["--file", dockerfile, dockerfile.parent]
    return timed(argv, env={"DOCKER_BUILDKIT": "1"})


def local_base(bench: Bench) -> str:
    """The base as it is here, whatever its name."""
    for name in (BASE, "metallize/base-debian:trixie-amd64"):
        if run(["docker", "image", "inspect", name], check=False).status == 0:
            return name
    bench.metallize("base", BASE)
    return "metallize/base-debian:trixie-amd64"


def floor_seconds(bench: Bench, line: str) -> tuple[float, str]:
    """The last layer's docker build, the export, and the bare filesystem tool: what no builder can do without."""
    cli = docker_cli()
    parent = local_base(bench)
    tags = []
    shipped = yaml.safe_load((ROOT / "profiles/debian13-ext4.yaml").read_text())["images"][1:]
    for number, name in enumerate(shipped):
        tag = f"metallize-bench/floor:{number}"
        docker_build(cli, ROOT / "layers" / name, tag, parent)
        tags.append(tag)
        parent = tag
    tools = bench.scratch / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "Dockerfile").write_text(
        "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends e2fsprogs libarchive13t64\n"
    )
    docker_build(cli, tools / "Dockerfile", "metallize-bench/tools", local_base(bench))
    tags.append("metallize-bench/tools")
    try:
        (tools / "last.dockerfile").write_text(
            f"ARG METALLIZE_SRC_IMG\nFROM ${{METALLIZE_SRC_IMG}}\nRUN echo '{line} floor' >/etc/bench\n"
        )
        tags.append("metallize-bench/floor:last")
        layer = docker_build(cli, tools / "last.dockerfile", "metallize-bench/floor:last", parent)
        container = run(["docker", "create", "metallize-bench/floor:last", "true"]).stdout.strip()
        try:
            export = timed(["docker", "export", "--output", tools / "root.tar", container])
        finally:
            run(["docker", "rm", container])
        blocks = (tools / "root.tar").stat().st_size // 1024 + 256 * 1024
        make = "mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard -d /work/root.tar /work/root.ext4"
        argv: list[str | Path] = ["docker", "run", "--rm", "--network", "none", "--env", "LC_ALL=C.UTF-8"]
        argv += ["--volume", f"{tools}:/work", "metallize-bench/tools", "sh", "-c", f"{make} {blocks}k"]
        filesystem = timed(argv)
    finally:
        run(["docker", "rmi", "--force", *tags], check=False)
        shutil.rmtree(tools)
    return layer + export + filesystem, f"layer {layer:.1f} s + export {export:.1f} s + mke2fs {filesystem:.1f} s"


# ---------------------------------------------------------------- peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """A Debian 13 in a folder, with mkosi and live-build in it."""

    bench: Bench
    root: Path

    def enter(self, log: str, *argv: str) -> float:
        words: list[str | Path] = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            ENTER,
            "sh",
            self.root,
            *argv,
        ]
        return timed(words, log=self.bench.scratch / f"{log}.log")

    def sources(self) -> list[tuple[str, str, str]]:
        """The package sources this root was made from: address, suite, components."""
        lines = (self.root / "etc/apt/sources.list").read_text().splitlines()
        return [(uri, suite, parts) for _, uri, suite, parts in (line.split(maxsplit=3) for line in lines if line)]

    def mkosi(self, *, incremental: bool) -> None:
        """Lay out mkosi's configuration: the packages of debian13-ext4 in a disk that boots by UEFI."""
        folder = self.root / "mkosi"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.root / "var/cache/mkosi", ignore_errors=True)
        shutil.rmtree(self.root / "root/.cache", ignore_errors=True)
        listed = folder / "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources"
        listed.parent.mkdir(parents=True)
        listed.write_text(
            "\n".join(
                f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {parts}\n"
                "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
                for uri, suite, parts in self.sources()
            )
        )
        packages = ["linux-image-amd64", "systemd", "systemd-boot", *COMMON_PACKAGES, *DISK_PACKAGES]
        (folder / "mkosi.extra/etc").mkdir(parents=True)
        (folder / "mkosi.extra/etc/bench").write_text("one\n")
        if incremental:
            (folder / "mkosi.cache").mkdir()
        (folder / "mkosi.conf").write_text(
            "[Distribution]\nDistribution=debian\nRelease=trixie\n"
            "[Output]\nFormat=disk\nOutput=peer\n"
            f"[Build]\nIncremental={'yes' if incremental else 'no'}\n"
            "[Content]\nBootable=yes\nRootPassword=admin\nKernelCommandLine=console=tty0 console=ttyS0,115200\n"
            "Packages=\n" + "".join(f"  {name}\n" for name in packages)
        )

    def mkosi_build(self, log: str) -> float:
        return self.enter(log, "sh", "-c", "cd /mkosi && mkosi --force build")

    def live_build(self) -> tuple[float, int]:
        """Build the packages of debian13-livecd as a live ISO; returns seconds and bytes."""
        folder = self.root / "live"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        [security] = [uri for uri, suite, _ in self.sources() if suite.endswith("-security")]
        mirrors = " ".join(
            f"--{stage}-security {security}"
            for stage in ("mirror-chroot", "mirror-binary", "parent-mirror-chroot", "parent-mirror-binary")
        )
        (folder / "build").write_text(
            "set -eu\ncd /live\n"
            "lb config --distribution trixie --architecture amd64 --archive-areas main --system live "
            "--binary-image iso-hybrid --debootstrap-options --variant=minbase --initsystem systemd "
            "--linux-packages linux-image --linux-flavours amd64 --apt-recommends false --apt-indices false "
            "--memtest none --debian-installer none --firmware-chroot false --updates false --cache false "
            "--zsync false --source false --checksums none "
            f"--bootappend-live 'boot=live console=tty0 console=ttyS0,115200' {mirrors}\n"
            f"echo {' '.join(COMMON_PACKAGES + LIVE_PACKAGES)} >config/package-lists/bench.list.chroot\n"
            "lb build\n"
        )
        seconds = self.enter("live-build", "sh", "/live/build")
        [iso] = folder.glob("*.iso")
        return seconds, iso.stat().st_size


@contextmanager
def peers(bench: Bench) -> Iterator[Peers]:
    if os.geteuid() != 0:
        raise SystemExit("error: mkosi and live-build run as root here\n  next: run as root, or name --only unchanged")
    root = bench.scratch / "peers"
    if not root.exists():
        bench.note("Making a Debian 13 with mkosi and live-build")
        run(["mmdebstrap", "--variant=minbase", f"--include={','.join(PEER_TOOLS)}", "trixie", root], timeout=LIMIT)
    yield Peers(bench=bench, root=root)


# ---------------------------------------------------------------- figures


def unchanged(bench: Bench) -> None:
    """Nothing changed: the second of two builds."""
    for name in ("debian13-ext4", "debian13-livecd"):
        profile = bench.profile(name)
        bench.metallize("build", profile)
        seconds = min(bench.metallize("build", profile) for _ in range(3))
        bench.add(f"nothing changed, {name}", seconds, 2.0, "s", "best of 3")


def change(bench: Bench) -> None:
    """One line changed in the last layer, against the floor and against mkosi."""
    bench.note("One line changed in the last layer")
    bench.metallize("build", bench.profile("debian13-ext4", last_layer="zero"))
    ours, floors = [], []
    for number in ("one", "two", "three"):
        ours.append(bench.metallize("build", bench.profile("debian13-ext4", last_layer=f"{number} {os.getpid()}")))
        floors.append(floor_seconds(bench, f"{number} {os.getpid()}"))
    mine, (floor, parts) = min(ours), min(floors)
    bench.add("one line changed / floor", mine / floor, 1.3, "x", f"{mine:.1f} s / {floor:.1f} s: {parts}")
    with peers(bench) as there:
        there.mkosi(incremental=True)
        bench.note("mkosi: filling its cache")
        there.mkosi_build("mkosi-fill")
        same = there.mkosi_build("mkosi-unchanged")
        (there.root / "mkosi/mkosi.extra/etc/bench").write_text("two\n")
        changed = there.mkosi_build("mkosi-changed")
    bench.add("one line changed / mkosi", mine / changed, 0.25, "x", f"{mine:.1f} s / {changed:.1f} s")
    sys.stdout.write(f"  mkosi with nothing changed: {same:.1f} s\n")


def cold_seconds(bench: Bench, profile: Path, *, platform: str = "linux/amd64") -> float:
    """Base bootstrapped, every layer built again, no package kept from before."""
    run([docker_cli(), "builder", "prune", "--force", "--filter", "type=exec.cachemount"], check=False)
    shutil.rmtree(bench.scratch / "cold", ignore_errors=True)
    base = bench.metallize("base", BASE, "--platform", platform)
    build = bench.metallize("build", profile, "--no-cache", "--build-dir", bench.scratch / "cold")
    bench.note(f"base {base:.1f} s, build {build:.1f} s")
    return base + build


def cold_ext4(bench: Bench) -> None:
    bench.note("Cold build of debian13-ext4, and mkosi with the same packages")
    ours = cold_seconds(bench, bench.profile("debian13-ext4"))
    used = (bench.scratch / "cold/debian13-ext4.img").stat().st_blocks * 512
    with peers(bench) as there:
        there.mkosi(incremental=False)
        theirs = there.mkosi_build("mkosi-cold")
        peer_used = (there.root / "mkosi/peer.raw").stat().st_blocks * 512
    bench.add("cold debian13-ext4 / mkosi", ours / theirs, 0.7, "x", f"{ours:.1f} s / {theirs:.1f} s")
    sys.stdout.write(f"  bytes on disk: {used // MIB} MiB, mkosi {peer_used // MIB} MiB\n")


def cold_livecd(bench: Bench) -> None:
    bench.note("Cold build of debian13-livecd, and live-build with the same packages")
    ours = cold_seconds(bench, bench.profile("debian13-livecd"))
    size = (bench.scratch / "cold/debian13-livecd.iso").stat().st_size
    with peers(bench) as there:
        theirs, peer_size = there.live_build()
    bench.add("cold debian13-livecd / live-build", ours / theirs, 0.4, "x", f"{ours:.1f} s / {theirs:.1f} s")
    bench.add("size of the ISO / live-build", size / peer_size, 1.0, "x", f"{size // MIB} / {peer_size // MIB} MiB")


def cold_arm64(bench: Bench) -> None:
    """The Pi's card, whose packages are of another architecture, against the same app on a disk of this one."""
    bench.note("Cold build of rpi3-templogger, and of the same app on debian13-ext4")
    foreign = cold_seconds(bench, bench.profile("rpi3-templogger"), platform="linux/arm64")
    own = bench.profile("debian13-ext4")
    content = yaml.safe_load(own.read_text())
    content["images"].append("templogger.dockerfile")
    own.write_text(yaml.safe_dump(content, sort_keys=False))
    native = cold_seconds(bench, own)
    bench.add("cold arm64 / cold amd64, same app", foreign / native, 3.0, "x", f"{foreign:.1f} s / {native:.1f} s")


def verify(bench: Bench) -> None:
    """From QEMU's start to the verdict, against a bare QEMU with the same arguments up to `login:`."""
    profile = bench.profile("debian13-livecd")
    bench.metallize("build", profile)
    for machine in ("seabios", "ovmf"):
        bench.note(f"verify on {machine}, and a bare QEMU")
        compare_with_bare(bench, f"verify / bare QEMU, {machine}", profile, machine, 1.25)


def fifty_assertions() -> dict[str, dict[str, dict[str, object]]]:
    """Fifty assertions of a dozen kinds, as a profile of some standing has them."""
    folders = ["/etc", "/usr", "/var", "/home", "/opt", "/srv", "/root", "/boot", "/media", "/mnt"]
    files = ["/etc/passwd", "/etc/group", "/etc/hostname", "/etc/hosts", "/etc/os-release", "/etc/ssh/sshd_config"]
    services = ["ssh", "systemd-journald", "systemd-networkd", "systemd-logind", "systemd-resolved", "dbus"]
    packages = ["systemd", "openssh-server", "sudo", "udev", "dbus", "iproute2", "kmod", "procps"]
    return {
        "file": {
            **{name: {"exists": True, "filetype": "directory"} for name in folders},
            **{name: {"exists": True, "owner": "root"} for name in files},
        },
        "service": {name: {"running": True} for name in services},
        "package": {name: {"installed": True} for name in packages},
        "user": {name: {"exists": True} for name in ("root", "admin", "nobody", "daemon")},
        "group": {name: {"exists": True} for name in ("root", "sudo", "adm")},
        "mount": {name: {"exists": True} for name in ("/", "/proc", "/sys")},
        "process": {name: {"running": True} for name in ("systemd", "sshd")},
        "kernel-param": {"kernel.ostype": {"value": "Linux"}, "net.ipv4.ip_forward": {"value": "0"}},
        "port": {"tcp:22": {"listening": True}},
        "interface": {"lo": {"exists": True}},
        "command": {
            "uname -s": {"exit-status": 0, "stdout": ["Linux"]},
            "id -un root": {"exit-status": 0, "stdout": ["root"]},
            "test -d /run/systemd/system": {"exit-status": 0},
            "getent hosts localhost": {"exit-status": 0},
        },
    }


def harness(bench: Bench) -> None:
    """What fifty assertions cost over one way in alone, against a bare QEMU up to `login:`."""
    bench.metallize("build", bench.profile("debian13-livecd"))
    content = yaml.safe_load(bench.profile("debian13-livecd").read_text())
    # As a fleet's gate does it: root, and a key of this boot alone. A password costs an emulated guest 2 s each time.
    ways = {"ssh": {"user": "root", "key": "ephemeral"}, "login": {"user": "admin", "password": "admin"}}
    for key, way, limit in (("ssh", "ssh", 1.10), ("login", "serial", 1.25)):
        boot = {"machines": ["seabios"], key: ways[key], "assert": fifty_assertions()}
        profile = bench.scratch / "debian13-livecd.yaml"
        profile.write_text(yaml.safe_dump({**content, "boot": boot}, sort_keys=False))
        bench.note(f"fifty assertions over {way}, and a bare QEMU")
        compare_with_bare(bench, f"fifty assertions over {way} / bare QEMU", profile, "seabios", limit)


def compare_with_bare(bench: Bench, name: str, profile: Path, machine: str, limit: float) -> None:
    """Three verifications and three bare boots in turn; the best of each."""
    ours, bare = [], []
    for _ in range(3):
        bench.metallize("verify", profile, "--machine", machine)
        folder = max((bench.scratch / "build/runs/debian13-livecd" / machine).iterdir())
        ours.append(float(json.loads((folder / "report.json").read_text())["seconds"]))
        bare.append(seconds_to_login(folder / "repro.sh", bench.scratch / f"bare-{machine}.log"))
    mine, floor = min(ours), min(bare)
    bench.add(name, mine / floor, limit, "x", f"{mine:.1f} s / {floor:.1f} s, best of 3")


def seconds_to_login(script: Path, log: Path) -> float:
    """Boot by the run's own script and stop at the login prompt."""
    start = time.monotonic()
    seen = b""
    scratch = {"TMPDIR": str(log.parent)}
    with spawn(["sh", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=scratch) as process:
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while b"login:" not in seen:
                    left = BOOT_SECONDS - (time.monotonic() - start)
                    if left <= 0 or not selector.select(left) or not (chunk := os.read(process.stdout.fileno(), 65536)):
                        raise SystemExit(
                            f"error: a bare QEMU showed no login prompt\n{seen[-2000:].decode(errors='replace')}"
                        )
                    seen += chunk
            return time.monotonic() - start
        finally:
            # the shell and the QEMU under it
            os.killpg(process.pid, signal.SIGKILL)
            log.write_bytes(seen)


def console(bench: Bench) -> None:
    """25 MB of console at full speed: the processor time of all that reads, cleans, keeps and judges them."""
    bench.note("25 MB of console, of several kinds")
    kernel = (
        b"[    1.234567] pci 0000:00:1f.2: BAR 4 [io  0x0600-0x0603]: assigned, as in every boot of this machine\r\n"
    )
    status = b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mssh.service\x1b[0m - OpenBSD Secure Shell server.\r\n"
    floods = {
        "a boot's text": kernel * 300 + status * 300,
        "no newlines": b"x" * 60_000,
        "only escapes": b"\x1b[0m\x1b[1;31m\x1b[K\x1b(B" * 3000,
        "failing units": b"[FAILED] Failed to start a.service - A thing that fails each time.\r\n" * 800,
        "near misses": b"app[412]: Kernel panic - not syncing: this is only what somebody says here\r\n" * 800,
        "invalid UTF-8": bytes(range(128, 256)) * 400,
    }
    costs = {name: min(_flood_seconds(bench, flood) for _ in range(2)) for name, flood in floods.items()}
    peak = _peak_bytes(os.getpid())
    _flood_seconds(bench, floods["a boot's text"])
    grown = max(0, _peak_bytes(os.getpid()) - peak)
    made_of = ", ".join(f"{name} {25 / seconds:.0f} MB/s" for name, seconds in costs.items())
    bench.add("25 MB of a boot's console", costs["a boot's text"], 1.25, "s", "processor time; 1.25 s are 20 MB/s")
    bench.add("25 MB of the worst console", max(costs.values()), 3.0, "s", made_of)
    bench.add("memory for 25 MB more of console", grown / MIB, 4, "MiB", "growth of the peak")


def _flood_seconds(bench: Bench, flood: bytes, size_bytes: int = 25_000_000) -> float:
    near, far = socket.socketpair()
    watch = BootWatch(Scanner(ConsoleRules()), console_name="ttyS0")
    watch.console_text("[    0.000000] Linux version 6.12\nWelcome to Debian!\n", "")
    reader = SerialConsole(near, bench.scratch, watch)
    reader.start()
    start = time.process_time()
    with far:
        for _ in range(size_bytes // len(flood)):
            far.sendall(flood)
    reader.close()
    watch.check()
    return time.process_time() - start


PARTS: dict[str, Callable[[Bench], None]] = {
    "unchanged": unchanged,
    "change": change,
    "ext4": cold_ext4,
    "livecd": cold_livecd,
    "arm64": cold_arm64,
    "verify": verify,
    "harness": harness,
    "console": console,
}


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    options = argparse.ArgumentParser(prog="scripts/bench")
    options.add_argument("--only", action="append", choices=list(PARTS), default=[])
    options.add_argument("--json", type=Path)
    options.add_argument("--keep", action="store_true")
    chosen = options.parse_args()
    # beside the images, where there is room for them: /tmp may be memory
    (ROOT / "build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="metallize-bench-", dir=ROOT / "build"))
    bench = Bench(scratch)
    try:
        for name in chosen.only or PARTS:
            PARTS[name](bench)
        if bench.peak_bytes:
            bench.add("peak memory of the metallize process", bench.peak_bytes / MIB, 150, "MiB", "highest of the run")
    finally:
        layers = run(["docker", "images", "--quiet", "metallize/bench-last"], check=False).stdout.split()
        if layers:
            run(["docker", "rmi", "--force", *dict.fromkeys(layers)], check=False)
        if chosen.keep:
            bench.note(f"scratch folder and logs: {scratch}")
        else:
            shutil.rmtree(scratch)
    if chosen.json:
        chosen.json.write_text(json.dumps([{**asdict(f), "holds": f.holds} for f in bench.figures], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
