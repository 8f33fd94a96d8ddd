"""A TPM for a guest: swtpm, which QEMU talks to over a socket that has no name (docs/specs/tpm in QEMU, swtpm(8)).

The TPM's state is a file without a name, as the guest's disk is: it lasts from one boot of the disk to the next, and
is gone with us.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from metallize.command import spawn, tethered
from metallize.errors import HostError
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import descriptor_path, socket_pair


@contextmanager
def with_tpm(plan: GuestPlan, folder: Path) -> Iterator[GuestPlan]:
    """The plan with a TPM that runs until the body is left, where it has one; its messages go to swtpm.log.

    Raises HostError where swtpm is not installed.
    """
    if plan.tpm_state is None:
        yield plan
        return
    if shutil.which("swtpm") is None:
        raise HostError("`swtpm` is not installed, and the machine has a TPM", hint="sudo apt-get install swtpm")
    with ExitStack() as stack:
        near, far = socket_pair(stack)
        argv = (
            *("swtpm", "socket", "--tpm2", "--terminate"),
            *("--tpmstate", f"backend-uri=file://{descriptor_path(plan.tpm_state)}"),
            *("--ctrl", f"type=unixio,clientfd={far.fileno()}"),
            *("--log", f"file={folder.absolute() / 'swtpm.log'},level=1"),
        )
        stack.enter_context(spawn(tethered(argv), pass_fds=(plan.tpm_state, far.fileno()), grace=timedelta(seconds=3)))
        far.close()
        number = near.fileno()
        yield replace(plan, tpm_chardev=f"socket,fd={number}", descriptors=(*plan.descriptors, number))
