"""What a person does about a check that did not hold: the next step, by what was looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from metallize.model.report import Result, Status

_LOOK = "see journal.txt and units.txt in the run folder"
_BY_KIND: Mapping[str, str] = {
    "login": "compare the login with what the image has; `metallize boot` shows the prompt to a person",
    "ssh": "diagnosis.txt in the run folder has the guest's sockets, routes and settings; then the image's SSH server",
    "unit": f"{_LOOK}: a unit that may fail is named by boot.console.allow",
    "system": f"{_LOOK}; boot.settle says how long the system is watched, boot.init which init it has",
    "step": "compare the step with the console's lines; its `timeout` says how long it waits",
    "reach": "see whether the service listens on every address, and whether a firewall of the guest lets it through",
    "time": "units.txt in the run folder says what took long; boot.time sets the budget",
    "console": "see console.txt in the run folder",
    "qmp": "see qemu.log and qmp.log in the run folder: QEMU itself has stopped",
    "refused": "see console.txt in the run folder: which boot entry went on",
    "reboot": "see the end of console.txt in the run folder",
    "power-cut": "see the boot after the cut in its part of the run folder",
    "identity": "what must stay is made once, on the first boot, and kept on the disk",
    "group": "run the group's commands by hand: metallize boot, then log in",
    "action": "see qmp.log in the run folder",
}


def next_step(result: Result) -> str:
    """One sentence, whatever the kind."""
    step = _BY_KIND.get(result.kind, f"log in and look: metallize boot; {_LOOK}")
    if result.status is Status.UNSEEN and result.kind not in _BY_KIND:
        return f"make sure that somebody can log in and that the guest has what the look needs; {_LOOK}"
    return step
