"""BuildKit through Docker's command line: which CLI can build, its arguments, and what its output means."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from metallize.build.dockerfile import Instruction, parse
from metallize.build.plan import LayerBuild
from metallize.command import run
from metallize.errors import CommandError, EngineError, HostError, LayerError

ENVIRONMENT = {
    "DOCKER_BUILDKIT": "1",
    "BUILDKIT_PROGRESS": "plain",
    # The engine's own builder, which knows local images; and images that are the same when built the same.
    "BUILDX_BUILDER": "default",
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
}
TAIL_LINES = 30
NO_PLUGIN_NEEDED_BEFORE = 23
"""Docker's CLI builds with BuildKit by itself up to 20.10; from 23.0 on it needs the buildx component."""
USUAL_FOLDERS = ("/usr/bin", "/usr/local/bin", "/snap/bin")
_PROBE_LIMIT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerCli:
    """A docker command that can build with BuildKit, and the words for why it was chosen."""

    path: Path
    version: str
    reason: str


def candidates() -> Iterator[Path]:
    """Every `docker` on PATH and at its usual places, first come first."""
    seen = set()
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *USUAL_FOLDERS]
    for folder in folders:
        found = shutil.which("docker", path=folder) if folder else None
        if found and (resolved := Path(found).resolve()) not in seen:
            seen.add(resolved)
            yield Path(found)


def find_cli() -> DockerCli:
    """The first CLI that can build. Raises EngineError that says of each one found why it cannot."""
    refused = []
    for path in candidates():
        try:
            version = run([path, "--version"], timeout=_PROBE_LIMIT).stdout
            match = re.search(r"version (\d+)\.([\w.]+)", version)
            number = f"{match[1]}.{match[2]}" if match else version.strip()
            if match and int(match[1]) < NO_PLUGIN_NEEDED_BEFORE:
                return DockerCli(path=path, version=number, reason="older than 23: BuildKit is built in")
            if run([path, "buildx", "version"], check=False, timeout=_PROBE_LIMIT).status == 0:
                return DockerCli(path=path, version=number, reason="has the buildx component")
        except (CommandError, HostError) as exc:
            refused.append(f"{path}: {exc.message.splitlines()[0]}")
        else:
            refused.append(f"{path}: Docker {number} has no buildx component, which it needs to build")
    if not refused:
        raise EngineError(
            "there is no docker command on this host", hint="run scripts/quickstart, or install docker.io"
        )
    raise EngineError(
        "no docker command here can build with BuildKit:\n  " + "\n  ".join(refused),
        hint="install docker-buildx (Debian, Ubuntu) or docker-buildx-plugin (Docker's own packages)",
    )


def refusal(cli: DockerCli, host: str) -> str | None:
    """Why this command cannot speak to the engine at `host`, in its own words; None where it can."""
    try:
        asked = run([cli.path, "version"], check=False, env={"DOCKER_HOST": host}, timeout=_PROBE_LIMIT)
    except (CommandError, HostError) as exc:
        return exc.message.splitlines()[0]
    lines = asked.stderr.strip().splitlines()
    return None if asked.status == 0 else (lines[-1] if lines else f"`{cli.path} version` ended with {asked.status}")


def failure(layer: LayerBuild, lines: list[str]) -> LayerError:
    """The error for a layer that failed to build: the dockerfile's line and the tail of the step's output."""
    instruction = _blamed(layer, lines)
    place = f"{layer.dockerfile}:{instruction.line}" if instruction else str(layer.dockerfile)
    what = f"\n  {instruction.text[:300]}" if instruction else ""
    tail = "\n".join(f"  | {line}" for line in readable(lines)[-TAIL_LINES:])
    return LayerError(f"{place}: layer {layer.name} failed to build{what}\n{tail}", hint=hint_for("\n".join(lines)))


def _blamed(layer: LayerBuild, lines: list[str]) -> Instruction | None:
    """The instruction that failed: by its line, which a newer BuildKit tells, or by its text."""
    dockerfile = parse(layer.dockerfile.read_text(errors="replace"))
    told = re.compile(
        rf"^(?:#\d+ )?{re.escape(layer.dockerfile.name)}:(\d+)$|[Dd]ockerfile(?: parse error)?(?: on)? line (\d+)"
    )
    for line in reversed(lines):
        if match := told.search(line.strip()):
            return dockerfile.at(int(match[1] or match[2]))
    for line in reversed(lines):
        match = re.match(r"^\s*>\s*(?:\[[^\]]*\d+/\d+\]\s*)?(.+?):?\s*$", line)
        if match and (instruction := dockerfile.locate(match[1])):
            return instruction
    return None


def readable(lines: list[str]) -> list[str]:
    """BuildKit's plain progress without its own bookkeeping: what the step printed, and the errors."""
    kept: list[str] = []
    for line in lines:
        text = re.sub(r"^#\d+ (?:\d+\.\d+ )?", "", line).rstrip()
        bookkeeping = re.match(r"(sha256:|DONE |CACHED|transferring |\[internal\]|extracting |-+$|resolve )", text)
        if text and not bookkeeping and (not kept or kept[-1] != text):
            kept.append(text)
    return kept


def hint_for(output: str) -> str | None:
    """The next step for failures that a person meets often."""
    rules = (
        (r"[Nn]o space left on device", "the disk that holds Docker's data is full: `docker system df`, then prune"),
        (
            r"Temporary failure resolving|Could not resolve|Unable to connect to|network is unreachable",
            "the build cannot reach its package servers: check the network, a proxy, or Docker's own network",
        ),
        (
            r"> resolve image config for ",
            "the dockerfile's `# syntax=` line fetches BuildKit's frontend from a registry, which did not give it",
        ),
        (
            r"failed to compute cache key.*not found|failed to calculate checksum of ref.*not found",
            "COPY and ADD take files from the layer's build context, the folder that holds its dockerfile",
        ),
        (r"/bin/sh\W+stat /bin/sh: no such file", "the image has no /bin/sh: name a base with a shell"),
        (
            r"docker/dockerfile|failed to resolve source metadata|pull access denied|failed to do request",
            "an image that the dockerfile names could not be fetched from its registry",
        ),
        (r"exec format error", "this platform needs emulation: install qemu-user-static and binfmt-support"),
        (
            r"secret [^:]+: not found|unset ssh forward key|agent is not set",
            "RUN mounts what nobody gave: --secret id=NAME,src=FILE or --ssh default gives it",
        ),
        (
            r"Unable to locate package",
            "the package does not exist in this distribution, or `apt-get update` is missing",
        ),
        (
            r"client version \S+ is too (?:old|new)",
            "the docker command and the engine do not speak the same API: `metallize doctor` says what to do",
        ),
        (
            r"failed to update builder last activity time|buildx/\S+: permission denied",
            "after a `sudo docker`, the docker command's folder belongs to root: sudo chown -R $(id -un) ~/.docker",
        ),
        (r"permission denied.*docker.*sock", "your user may not talk to Docker: add it to the group docker"),
    )
    return next((hint for pattern, hint in rules if re.search(pattern, output)), None)
