"""What no single boot can show: two machines that are made from one image are two machines.

Host keys and machine-id are made on the first boot. Where they are in the image already, every machine that is made
from it can pass for every other.
"""

from __future__ import annotations

from metallize.pytest_plugin.api import Guest

IDENTITY = "cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | cut -d ' ' -f 2"


def identity(guest: Guest) -> set[str]:
    return set(guest.shell.run(IDENTITY, check=False).stdout.split())


def test_two_machines_from_one_image_share_no_identity(guest: Guest) -> None:
    first = identity(guest)
    second = identity(guest.another())
    assert first
    assert second
    assert not first & second
