"""What no builder that stands on Docker can do without: the layer, the export, the bare filesystem tool."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import yaml

from bench.measuring import ROOT, Bench, timed
from metallize.command import run

BASE = "debian:trixie"


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
