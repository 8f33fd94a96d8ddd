"""Other bytes in a machine's disk, written to its overlay: the image stays as it is (qemu-io(1))."""

from __future__ import annotations

import os
from contextlib import ExitStack

from metallize.command import run
from metallize.files.tampering import Patch
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import descriptor_path, memory_file


def write_patch(plan: GuestPlan, patch: Patch) -> None:
    """Write it while the machine is off. Raises CommandError where the overlay takes it not."""
    if plan.overlay is None:
        raise AssertionError("nobody can write to the disk of this machine")
    with ExitStack() as stack:
        content = memory_file(stack)
        os.write(content, patch.content)
        command = f"write -q -s {descriptor_path(content)} {patch.offset} {len(patch.content)}"
        run(("qemu-io", "-f", "qcow2", "-c", command, plan.overlay), pass_fds=(content, *plan.descriptors))
