"""What the output of the seal's build, of the export and of the generator means."""

from __future__ import annotations

import re

from metallize.build.engines import buildkit
from metallize.errors import EngineError, GeneratorError, LayerError


def seal_failure(lines: list[str]) -> LayerError:
    """What the seal says is missing from the rootfs, or else the tail of what it printed."""
    text = buildkit.readable(lines)
    told = [match[1] for line in text if (match := re.search(r"metallize: ERROR: (.*)", line))]
    advice = [match[1] for line in text if (match := re.search(r"metallize: (Add .*)", line))]
    if told:
        return LayerError(f"the rootfs cannot be made bootable: {told[0]}", hint=advice[0] if advice else None)
    tail = "\n".join(f"  | {line}" for line in text[-buildkit.TAIL_LINES :])
    return LayerError(f"making fstab and the initrd failed\n{tail}", hint=buildkit.hint_for("\n".join(lines)))


def export_failure(what: str, lines: list[str]) -> EngineError:
    """The engine has the sealed rootfs, and does not give it: in its own words."""
    tail = "\n".join(f"  | {line}" for line in lines[-buildkit.TAIL_LINES :])
    return EngineError(f"the rootfs is sealed, and Docker {what}\n{tail}", hint=buildkit.hint_for("\n".join(lines)))


def generator_failure(name: str, status: int, lines: list[str]) -> GeneratorError:
    """What the generator says is wrong, or else the tail of what it printed."""
    told = [line.partition("metallize: ERROR: ")[2] for line in lines if "metallize: ERROR: " in line]
    full = any("No space left on device" in line for line in lines)
    if told:
        text = "No space left on device" if full else told[-1]
        return GeneratorError(
            f"the image of {name} could not be made: {text}",
            hint="free space in the build folder, or choose another with --build-dir" if full else None,
        )
    tail = "\n".join(f"  | {line}" for line in lines[-buildkit.TAIL_LINES :])
    killed = "; it was killed (out of memory?)" if status == 128 + 9 else ""
    return GeneratorError(f"the generator ended with status {status}{killed}\n{tail}")
