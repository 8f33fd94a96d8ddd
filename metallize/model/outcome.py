"""What must come of a boot: that the image comes up, or that firmware or loader refuse it."""

from __future__ import annotations

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
