"""What must come of a boot: that the image comes up, or that firmware or loader refuse it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from metallize.model.scalars import Frozen


def parse_expect(value: object) -> object:
    """The long form of `refused` and `booted`, and of `{refused: RULE}`; anything else as it is."""
    if value == "booted":
        return {"refused": None}
    if value == "refused":
        return {"refused": ()}
    if isinstance(value, str):
        raise ValueError("it is `booted`, `refused`, or {refused: RULE}")  # noqa: TRY004 - pydantic reads ValueError
    if isinstance(value, dict) and isinstance(value.get("refused"), str):
        return {**value, "refused": (value["refused"],)}
    if isinstance(value, dict) and value.get("refused", ...) in (None, [], ...):
        raise ValueError("it is `booted`, `refused`, or {refused: RULE}")
    return value


class Outcome(Frozen):
    """What must come of a boot."""

    refused: tuple[str, ...] | None
    """The rules by which firmware or loader may refuse it, any of them where it is empty; None: it must boot."""


Expect = Annotated[
    Outcome,
    BeforeValidator(parse_expect),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["booted", "refused"]},
                {
                    "type": "object",
                    "properties": {
                        "refused": {
                            "anyOf": [
                                {"type": "string"},
                                {"type": "array", "minItems": 1, "items": {"type": "string"}},
                            ]
                        }
                    },
                    "required": ["refused"],
                    "additionalProperties": False,
                },
            ],
            "description": "refused: the image passes only where firmware or loader refuse it, for any rule of theirs "
            "or for the one named",
        }
    ),
]


class Tampered(StrEnum):
    """What boot.tamper changes in a copy of the image: a part that is kept by a hash or by a signature."""

    ROOT = "root"
    """A byte of the root filesystem's first block, which nothing but its hash would miss."""
    VERITY = "verity"
    """A byte of the first hash of the tree's top."""
    UKI = "uki"
    """A byte of the signed kernel image that no code reads."""
    UNSIGNED_UKI = "unsigned-uki"
    """The kernel image as it was, without its signature."""
    CMDLINE = "cmdline"
    """A blank between two words of the kernel's command line, in the signed kernel image, which every reader skips."""
    TPM = "tpm"
    """Nothing of the image: the machine has another TPM once the disk has come up."""


SIGNED = frozenset({Tampered.UKI, Tampered.UNSIGNED_UKI, Tampered.CMDLINE})
"""What nothing but a firmware that asks for signatures can refuse."""
SUFFIXES = {Tampered.ROOT: ".root", Tampered.VERITY: ".verity", **dict.fromkeys(SIGNED, ".efi")}
"""What the name of the part ends with that is changed."""
