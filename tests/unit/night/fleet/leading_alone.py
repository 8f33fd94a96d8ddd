"""A night on a fleet as a program of its own, to be killed: FOLDER PORT {"NAME": "what its image says"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.unit.night.fleet.conftest import Fleet, FleetNight

if __name__ == "__main__":
    folder, port, images = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patch:
        FleetNight(fleet=Fleet(folder=Path(folder).parent, port=int(port)), monkeypatch=patch).run(json.loads(images))
