"""generators/NAME/generator.yaml: what a generator says of itself, checked as strictly as a profile is."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from metallize.config.reading.source import parse_tree, read_text
from metallize.config.reading.validation import Findings, decode
from metallize.errors import Location, ProfileError
from metallize.model.boot import Media
from metallize.model.catalogue import Generator, Option, OptionType, OptionValue
from metallize.model.machine import Firmware
from metallize.model.profile import ImageFormat, Platform
from metallize.model.scalars import Frozen, parse_size


class OptionFile(Frozen):
    """One option of a generator, as its file declares it."""

    type: Annotated[OptionType, Field(description="string, integer, number, boolean or size")]
    description: str
    default: bool | int | float | str | None = None
    enum: tuple[bool | int | float | str, ...] = ()
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    pattern: str | None = None
    formats: Annotated[
        tuple[ImageFormat, ...], Field(description="formats of images for which it means something; default: all")
    ] = ()
    needs_tpm: Annotated[
        tuple[bool | int | float | str, ...],
        Field(description="values with which the image comes up on a machine with a TPM alone"),
    ] = ()


class GeneratorFile(Frozen):
    """The keys of generator.yaml."""

    summary: str
    description: str
    formats: Annotated[tuple[ImageFormat, ...], Field(min_length=1)]
    firmware: tuple[Firmware, ...]
    machines: tuple[str, ...] = ()
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)] = (Platform.AMD64,)
    default_media: Media | None = None
    versioned: Annotated[
        bool, Field(description="the image holds its release's name and version: a profile must give output.version")
    ] = False
    signs: Annotated[
        bool,
        Field(description="its program `sign` signs what the firmware starts, where output.secure_boot says so"),
    ] = False
    ids: tuple[str, ...] = ()
    kernel_boot_params: str = ""
    fstab: str = ""
    options: Annotated[dict[str, OptionFile], Field(default_factory=dict)]
    example: str = ""


def generator_schema() -> dict[str, Any]:
    """The JSON Schema of generator.yaml."""
    made = GeneratorFile.model_json_schema(ref_template="#/$defs/{model}")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "metallize generator"}


def read_generator(path: Path) -> Generator:
    """The generator whose generator.yaml this is; raises ProfileError with all that is wrong in it."""
    findings = Findings()
    text = read_text(path, findings.problems)
    if text is None:
        raise ProfileError(findings.sorted())
    return _generator(path, text)


@cache
def _generator(path: Path, text: str) -> Generator:
    """Of a file's text, which is read again where that has changed only."""
    findings = Findings()
    root = parse_tree(path, text, findings.problems)
    parsed = decode(GeneratorFile, root, findings) if root is not None else None
    if parsed is None or findings.problems:
        raise ProfileError(findings.sorted())
    start = Location(path=path, line=1, column=1)
    options = {}
    for name, option in parsed.options.items():
        try:
            options[name] = _option(name, option)
        except ValueError as exc:
            findings.add(start, f"option `{name}`: {exc}")
    if findings.problems:
        raise ProfileError(findings.sorted())
    media = parsed.default_media or (Media.CD if parsed.formats == (ImageFormat.ISO,) else Media.DISK)
    return Generator(
        name=path.parent.name,
        folder=path.parent,
        summary=parsed.summary,
        description=" ".join(parsed.description.split()),
        formats=parsed.formats,
        default_media=media,
        firmware=parsed.firmware,
        machines=parsed.machines,
        platforms=parsed.platforms,
        options=options,
        versioned=parsed.versioned,
        signs=parsed.signs,
        ids=parsed.ids,
        kernel_boot_params=parsed.kernel_boot_params,
        fstab=parsed.fstab,
        example=parsed.example,
    )


def _option(name: str, option: OptionFile) -> Option:
    return Option(
        name=name,
        type=option.type,
        description=option.description,
        default=None if option.default is None else _value(option.type, option.default),
        choices=tuple(_value(option.type, choice) for choice in option.enum),
        minimum=None if option.minimum is None else float(_value(option.type, option.minimum)),
        maximum=None if option.maximum is None else float(_value(option.type, option.maximum)),
        pattern=option.pattern,
        formats=option.formats,
        needs_tpm=tuple(_value(option.type, each) for each in option.needs_tpm),
    )


def _value(kind: OptionType, value: OptionValue) -> OptionValue:
    """A default, choice or bound in the option's own type; raises ValueError where it does not fit."""
    match kind:
        case OptionType.SIZE:
            return parse_size(value)
        case OptionType.STRING:
            return str(value)
        case OptionType.BOOLEAN if isinstance(value, bool):
            return value
        case OptionType.INTEGER if isinstance(value, int) and not isinstance(value, bool):
            return value
        case OptionType.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    raise ValueError(f"`{value}` is no {kind}")
