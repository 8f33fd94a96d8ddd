"""`metallize worker` whose guests are pretended: an image's first line says how its boots go.

    pass | fail | missing | broken | sleep SECONDS

Run as a program, with what `metallize worker` takes. `FLEET_SOFTWARE` in the environment stands for its judge;
`FLEET_LIES` has it tell of another image than it was given, or of another machine;
`FLEET_LOG` names a file that gets a line for each boot that begins and for each that comes to its end.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metallize import cli
from metallize.errors import HostError
from metallize.events import Events, Progress
from metallize.host import accelerator
from metallize.model.report import AcceleratorUse, BootReport
from metallize.night.fleet import facts
from metallize.qemu.vm import make_run_folder
from metallize.report.files import write_report
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification
from tests.unit.report.test_report import FAILED, PASSED

USE = AcceleratorUse(name="tcg", cpu="qemu64", reason="pretended", slowness=2.0, cached=True)


def boot_all(requests: Sequence[VerifyRequest], events: Events) -> tuple[BootReport, ...]:
    """In the place of `metallize.verify.requests.run_all`."""
    [request] = requests
    said = request.image.read_bytes().partition(b"\n")[0].decode().split()
    events.emit(Progress(step="verify", what=request.machine_entry, stage="userspace", seconds=1.5))
    log(f"begins {request.sha256} {request.machine_entry} {os.getpid()}")
    if said[0] == "missing":
        raise HostError("no memory left")
    if said[0] == "broken":
        raise ZeroDivisionError
    if said[0] == "sleep":
        time.sleep(0.2)
        end = time.monotonic() + float(said[1])
        while time.monotonic() < end:
            time.sleep(0.05)
    folder = make_run_folder(request.runs_dir / request.machine_entry)
    (folder / "console.txt").write_text(f"[   1.000] {said[0]}\n")
    (folder / "later").mkdir()
    (folder / "later" / "odd \u00e4 name").write_bytes(b"\0\1")
    report = replace(
        FAILED if said[0] == "fail" else PASSED,
        machine=request.machine_entry,
        image=request.image,
        run_folder=folder,
        sha256=request.sha256,
        accelerator=USE,
        notes=(f"first run in {folder}",),
    )
    write_report(report, folder)
    match os.environ.get("FLEET_LIES"):
        case "image":
            report = replace(report, sha256="0" * 64)
        case "machine":
            report = replace(report, machine="ovmf")
    log(f"ends {request.sha256} {request.machine_entry} {os.getpid()}")
    return (report,)


def log(line: str) -> None:
    path = os.environ.get("FLEET_LOG")
    if path:
        with Path(path).open("a") as file:
            file.write(f"{line}\n")


if __name__ == "__main__":
    vars(verification)["run_all"] = boot_all
    vars(accelerator)["choose"] = lambda *_args, **_said: USE
    if "FLEET_SOFTWARE" in os.environ:
        vars(facts)["judge"] = lambda: os.environ["FLEET_SOFTWARE"]
    sys.exit(cli.main())
