"""Sabotage of the network and of what is reached through it."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.recipe import Failed, Recipe

SSH = "ssh login as admin"


RECIPES = (
    Recipe(
        name="ssh-masked",
        summary="the SSH server is masked",
        disk=lambda disk: disk.mask("ssh.service", "ssh.socket"),
        expected=(Failed(stage=Stage.READY, result=SSH, words=("masked",)),),
    ),
)
