"""What each machine must have for what a profile asks: a TPM for a generator's option, keys for broken releases."""

from __future__ import annotations

from collections.abc import Mapping as Named

from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence
from metallize.config.reading.validation import Findings
from metallize.errors import Location
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.catalogue import Generator, MachineEntry
from metallize.model.profile import Output


def check_tpm(boot: Boot, entry: Entry, output: Output, generator: Generator | None, findings: Findings) -> None:
    """A machine without a TPM that would have to boot an image which needs one; `entry` is the key `boot`."""
    options = generator.options if generator is not None else {}
    given = [f"{name}: {value}" for name, value in output.options.items() if value in options[name].needs_tpm]
    if not given:
        return
    for name, machine in boot.machines.items():
        if _is_refused(boot, machine) or (boot.tpm if machine.tpm is None else machine.tpm):
            continue
        message = f"machine `{name}` has no TPM, and output.options has `{given[0]}`, which needs one to come up"
        findings.add(_place(entry, name), message, "set tpm: true below `boot`, or for this machine alone")


def check_keys(boot: Boot, entry: Entry, machines: Named[str, MachineEntry], findings: Findings) -> None:
    """A machine whose firmware starts what others have signed, and broken releases that nobody signs."""
    if boot.update is None or not boot.update.broken:
        return
    for name, overrides in boot.machines.items():
        machine = machines.get(overrides.machine or name)
        if machine is None or not machine.secure_boot or overrides.keys or _is_refused(boot, overrides):
            continue
        message = (
            f"machine `{name}` starts what its firmware's own keys have signed, and nobody signs boot.update.broken"
        )
        findings.add(_place(entry, name), message, "give it `keys`: its firmware is told of their digests then")


def _is_refused(boot: Boot, machine: MachineOverrides) -> bool:
    """Whether the image must not come up on it: then it comes neither to a TPM nor to an update."""
    expected = machine.expect or boot.expect
    return expected is not None and expected.refused is not None


def _place(entry: Entry, name: str) -> Location:
    """Where a machine is named; the whole of `boot` where it is one of the generator's own."""
    machines = entry.value.get("machines") if isinstance(entry.value, Mapping) else None
    match machines.value if machines is not None else None:
        case Mapping() as node if (found := node.get(name)) is not None:
            return found.location
        case Sequence() as node:
            named = [item for item in node.items if isinstance(item, Scalar) and item.text == name]
            return named[0].location if named else entry.location
    return entry.location
