"""What a guest gets where its profile does not say."""

from __future__ import annotations

import pytest

from metallize.errors import HostError
from metallize.model.boot import Boot, MachineOverrides
from metallize.qemu.plan import CPUS_VARIABLE, cpus_of


@pytest.mark.parametrize(("setting", "cpus"), [(None, 2), ("", 2), ("1", 1), (" 4 ", 4)])
def test_cpus_that_no_profile_declares(monkeypatch: pytest.MonkeyPatch, setting: str | None, cpus: int) -> None:
    monkeypatch.delenv(CPUS_VARIABLE, raising=False)
    if setting is not None:
        monkeypatch.setenv(CPUS_VARIABLE, setting)
    assert cpus_of(Boot(), MachineOverrides()) == cpus
    assert cpus_of(Boot(cpus=3), MachineOverrides()) == 3
    assert cpus_of(Boot(cpus=3), MachineOverrides(cpus=5)) == 5


@pytest.mark.parametrize("setting", ["0", "-1", "two", "65", "1.5", "²"])
def test_a_setting_that_is_no_number_of_cpus(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(CPUS_VARIABLE, setting)
    with pytest.raises(HostError, match="METALLIZE_CPUS=") as caught:
        cpus_of(Boot(), MachineOverrides())
    assert caught.value.hint == "a whole number from 1 to 64, or leave it out for 2"
