"""Sabotage of what starts once there is a root: mounts, units, getty and logins."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.recipe import Failed, Recipe

GETTY = "serial-getty@ttyS0.service"


RECIPES = (
    Recipe(
        name="emergency-mode",
        summary="fstab names a disk that is not there",
        disk=lambda disk: disk.put("/etc/fstab", "LABEL=nowhere /srv ext4 defaults,x-systemd.device-timeout=3s 0 2\n"),
        expected=(Failed(stage=Stage.USERSPACE, rule="emergency-mode", words=("emergency", "nowhere")),),
    ),
    Recipe(
        name="crash-looping-service",
        summary="a service crashes and is started again, for ever",
        disk=lambda disk: disk.service(
            "loop",
            "ExecStart=/bin/sh -c 'exit 1'\nRestart=always\nRestartSec=2s",
            unit="StartLimitIntervalSec=0",
        ),
        expected=(Failed(stage=Stage.READY, result="unit loop.service", words=("started again",)),),
    ),
    Recipe(
        name="masked-getty",
        summary="no getty on the serial port, which is masked",
        disk=lambda disk: disk.mask(GETTY),
        expected=(
            Failed(
                stage=Stage.READY, result="serial login as admin", words=(f"{GETTY} is masked",), seconds=4, scaled=True
            ),
        ),
    ),
    Recipe(
        name="shutdown-in-the-middle-of-the-boot",
        summary="a service switches the machine off",
        disk=lambda disk: disk.early_service(
            "good-night", "Type=oneshot\nExecStart=/usr/bin/systemctl --no-block poweroff"
        ),
        expected=(Failed(stage=Stage.USERSPACE, rule="guest-shutdown", words=("switched itself off",)),),
    ),
    Recipe(
        name="reboot-in-the-middle-of-the-boot",
        summary="a service resets the machine",
        disk=lambda disk: disk.early_service("again", "Type=oneshot\nExecStart=/usr/bin/systemctl reboot -ff"),
        expected=(Failed(stage=Stage.USERSPACE, rule="unexpected-reset", words=("reset itself",)),),
    ),
)
