"""Signed releases, and what a person has who fetched one."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope

from metallize.release import attest
from metallize.release.attest import Attested, Policy
from metallize.release.keys import load_public, load_signer, make_key
from metallize.release.statement import statements
from tests.unit.release.wares import CONTENT, released, ware

BASE = "web_20261130.1_x86-64.raw"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
Change = Callable[[dict[str, Any]], None]


class Place:
    """A signed release, and what a person has who fetched it."""

    def __init__(self, folder: Path, content: bytes = CONTENT, file: str = "web.raw") -> None:
        self.keys = make_key(folder / "release")
        self.other = make_key(folder / "other")
        self.ware = ware(folder / "build", content, file)
        released(folder / "to", self.ware, attest=statements(load_signer(self.keys.private)))
        self._file = f"{BASE}.xz" if file == "web.raw" else f"web_20261130.1_x86-64{Path(file).suffix}"
        self._stand_in(folder)
        self.policy = Policy(keys=(load_public(self.keys.public),))

    def _stand_in(self, folder: Path) -> None:
        self.folder = folder / "to" / "stable"
        self.image = self.folder / self._file
        self.statements = attest.statements_beside(self.image)
        self.report = attest.report_beside(self.image)

    def copied(self, folder: Path) -> Place:
        """What was released, for a test to change; the keys and the image that was built are those of all."""
        shutil.copytree(self.folder.parent, folder / "to", symlinks=True)
        other = copy(self)
        other._stand_in(folder)
        return other

    def verify(self, image: Path | None = None, **policy: object) -> Attested:
        return attest.verify(image or self.image, self.statements, self.report, replace(self.policy, **policy))  # type: ignore[arg-type]  # of a test

    def every(self) -> list[dict[str, Any]]:
        lines = self.statements.read_text().splitlines()
        return [json.loads(b64decode(json.loads(line)["payload"])) for line in lines]

    def payloads(self) -> list[dict[str, Any]]:
        """Those of the machines."""
        return [each for each in self.every() if each["predicateType"] == TEST_RESULT]

    def decision(self) -> dict[str, Any]:
        [found] = [each for each in self.every() if each["predicateType"] != TEST_RESULT]
        return found

    def signed_anew(self, change: Change, *, key: Path | None = None, decision: Change | None = None) -> None:
        """As the signer would have signed something else: the machines' statements, and with a change its decision."""
        lines = []
        for payload in [*self.payloads(), *([self.decision()] if decision is not None else [])]:
            if payload["predicateType"] == TEST_RESULT:
                change(payload)
            elif decision is not None:
                decision(payload)
            envelope = Envelope(json.dumps(payload, sort_keys=True).encode(), "application/vnd.in-toto+json", {})
            envelope.sign(load_signer(key or self.keys.private))
            lines.append(json.dumps(envelope.to_dict()) + "\n")
        self.statements.unlink()
        self.statements.write_text("".join(lines))


def described(payload: dict[str, Any], kind: str) -> dict[str, Any]:
    [found] = [
        each for each in payload["predicate"]["configuration"] if each.get("annotations", {}).get("kind") == kind
    ]
    result: dict[str, Any] = found
    return result
