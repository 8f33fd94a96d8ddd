"""What is to be verified: one image on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metallize.model.assertion import Assertion, Group
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.kind import Kind
from metallize.model.machine import Machine
from metallize.model.outcome import Outcome
from metallize.model.profile import ImageFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """One boot to be made and judged; `kinds` are the catalogue's assertion kinds by name."""

    image: Path
    image_format: ImageFormat
    boot: Boot
    assertions: tuple[Assertion, ...]
    machine_entry: str
    """The name under boot.machines; it names the run folder and the report."""
    machine: Machine
    kinds: Mapping[str, Kind]
    runs_dir: Path
    """build/runs/<profile>"""
    groups: tuple[Group, ...] = ()
    overrides: MachineOverrides = field(default_factory=MachineOverrides)
    accel: str = "auto"
    keep_running: bool = False
    capture: bool = False
    """Every packet of the guest's network card goes to net.pcap, as with boot.capture."""
    clock: str | None = None
    """What the guest's clock goes by, as a report says it, for a boot that is compared with another; None: as fits the
    host's slowness."""
    sha256: str = ""
    """Of the image, where it is known."""
    published: Path | None = None
    """Where the image will be once it has passed, for those who look at the run later."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the image's making; nothing of one that somebody else made."""

    @property
    def has_ways_in(self) -> bool:
        """Whether anybody logs in."""
        return self.boot.login is not None or self.boot.ssh is not None

    @property
    def observed(self) -> tuple[Assertion, ...]:
        """The assertions that are looked at when the guest is ready, and not after an action."""
        return tuple(each for each in self.assertions if each.action is None)

    @property
    def refusal(self) -> Outcome | None:
        """How firmware or loader must refuse the image; None where it must boot."""
        expected = self.overrides.expect or self.boot.expect
        return expected if expected is not None and expected.refused is not None else None
