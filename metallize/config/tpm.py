"""What an option of the generator asks of every machine that is to come up: a TPM."""

from __future__ import annotations

from metallize.config.reading.tree import Entry, Mapping, Scalar, Sequence
from metallize.config.reading.validation import Findings
from metallize.errors import Location
from metallize.model.boot import Boot
from metallize.model.catalogue import Generator
from metallize.model.profile import Output


def check_tpm(boot: Boot, entry: Entry, output: Output, generator: Generator | None, findings: Findings) -> None:
    """A machine without a TPM that would have to boot an image which needs one; `entry` is the key `boot`."""
    options = generator.options if generator is not None else {}
    given = [f"{name}: {value}" for name, value in output.options.items() if value in options[name].needs_tpm]
    if not given:
        return
    for name, machine in boot.machines.items():
        expected = machine.expect or boot.expect
        if expected is not None and expected.refused is not None:
            continue  # it comes to no TPM
        if boot.tpm if machine.tpm is None else machine.tpm:
            continue
        message = f"machine `{name}` has no TPM, and output.options has `{given[0]}`, which needs one to come up"
        findings.add(_place(entry, name), message, "set tpm: true below `boot`, or for this machine alone")


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
