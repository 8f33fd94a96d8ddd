"""The rootfs as a squashfs, compressed while it still streams in; kernels and initrds stand beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

from metallize_os import job
from metallize_os.aside import Aside
from metallize_os.convert import Conversion


def compressor(options: dict[str, object]) -> list[str]:
    """The arguments of sqfstar(1) for the compression that the options name."""
    name = str(options["compression"])
    if name == "zstd":
        return ["-comp", "zstd", "-Xcompression-level", str(options["level"])]
    return ["-comp", name, *(["-Xhc"] if name == "lz4" else [])]


def stream(task: job.Job, target: Path, *, beside: Path, **more: Any) -> Conversion:
    """Convert the rootfs into sqfstar's standard input; kernels and initrds go to the folder `beside`.

    `more` are the generator's own wishes for the conversion.
    """
    argv = ["sqfstar", "-no-progress", "-exit-on-error", "-b", "1M", *compressor(task.options), str(target)]
    # -always-use-fragments packs the tails of big files too: a smaller image at no cost in time.
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as squash:
        assert squash.stdin is not None  # noqa: S101 - it was asked for
        conversion = task.conversion(aside=Aside(beside), **more)
        with squash.stdin as sink:
            conversion.run(sys.stdin.buffer, cast("BinaryIO", sink))
        if squash.wait() != 0:
            job.fail(f"sqfstar ended with status {squash.returncode}; its message is above")
    return conversion
