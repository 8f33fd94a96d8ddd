"""The keys `output` and `args` of a profile: what is made, and what the layers are told."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, kind_of, shown
from metallize.config.reading.validation import Findings, decode
from metallize.config.reading.words import (
    argument_name_problem,
    argument_value_problem,
    boot_parameters_problem,
    file_name_problem,
    is_secret,
    password_hash_problem,
)
from metallize.config.vocabulary import Vocabulary
from metallize.model.catalogue import Generator, Option, OptionType, OptionValue
from metallize.model.profile import SUFFIX_FORMATS, ImageFormat, Output, Platform
from metallize.model.scalars import parse_size

_ORIGINAL_KEYS = {"output-file": "file"}
"""What the first profiles of the original called its keys."""
_ORIGINAL_GENERATORS = {"squashfs-and-syslinux.dockerfile": "livecd"}


def decode_output(entry: Entry, vocabulary: Vocabulary, platform: Platform, findings: Findings) -> Output | None:
    """The `output` section, or None after reporting what is wrong with it."""
    node = _renamed(entry.value)
    generator = _check_generator(node, vocabulary, platform, findings)
    _check_file(node, generator, findings)
    _check_boot_parameters(node, findings)
    _check_signing(node, generator, vocabulary, findings)
    options = _decode_options(node, generator, findings)
    output = decode(Output, node, findings, place=entry.location)
    return output.model_copy(update={"options": options}) if output is not None else None


def _renamed(node: Node) -> Node:
    """The section with the original's names of keys and generators replaced by ours."""
    if not isinstance(node, Mapping):
        return node
    entries = []
    for entry in node.entries:
        key, value = entry.key, entry.value
        if key in _ORIGINAL_KEYS and node.get(_ORIGINAL_KEYS[key]) is None:
            key = _ORIGINAL_KEYS[key]
        if key == "generator" and isinstance(value, Scalar) and value.text in _ORIGINAL_GENERATORS:
            text = _ORIGINAL_GENERATORS[value.text]
            value = Scalar(location=value.location, value=text, text=text)
        entries.append(Entry(key=key, location=entry.location, value=value))
    return Mapping(location=node.location, entries=tuple(entries))


def _text(node: Node, key: str) -> Scalar | None:
    """The value of a key where it is text, or a number that is taken as text."""
    entry = node.get(key) if isinstance(node, Mapping) else None
    if entry is None or not isinstance(entry.value, Scalar) or isinstance(entry.value.value, bool | None):
        return None
    return entry.value


def _check_generator(node: Node, vocabulary: Vocabulary, platform: Platform, findings: Findings) -> Generator | None:
    scalar = _text(node, "generator")
    if scalar is None:
        return None
    generator = vocabulary.generators.get(scalar.text)
    if generator is None:
        message = f"unknown generator `{shown(scalar)}`"
        findings.add(scalar.location, message, did_you_mean(scalar.text, vocabulary.generators))
    elif platform not in generator.platforms:
        message = f"generator `{generator.name}` makes no image for {platform}"
        findings.add(scalar.location, message, f"it makes images for {', '.join(generator.platforms)}")
    return generator


def _check_file(node: Node, generator: Generator | None, findings: Findings) -> None:
    scalar = _text(node, "file")
    if scalar is None:
        return
    if (problem := file_name_problem(scalar.text)) is not None:
        findings.add(scalar.location, f"`file`: {problem}: `{shown(scalar)}`")
        return
    suffix = PurePosixPath(scalar.text).suffix
    if (form := SUFFIX_FORMATS.get(suffix)) is None:
        message = f"`file`: the suffix `{suffix}` of `{shown(scalar)}` is no image format"
        findings.add(scalar.location, message, did_you_mean(suffix, SUFFIX_FORMATS))
    elif generator is not None and form not in generator.formats:
        makes = ", ".join(suffix for suffix, made in SUFFIX_FORMATS.items() if made in generator.formats)
        message = f"`file`: generator `{generator.name}` makes no `{suffix}` image: `{shown(scalar)}`"
        findings.add(scalar.location, message, f"it makes {makes}")


def _check_signing(node: Node, generator: Generator | None, vocabulary: Vocabulary, findings: Findings) -> None:
    entry = node.get("secure_boot") if isinstance(node, Mapping) else None
    if entry is None or generator is None or generator.signs:
        return
    able = ", ".join(sorted(each.name for each in vocabulary.generators.values() if each.signs))
    message = f"`secure_boot`: generator `{generator.name}` signs nothing"
    findings.add(entry.location, message, f"these do: {able}" if able else "no generator does")


def _check_boot_parameters(node: Node, findings: Findings) -> None:
    scalar = _text(node, "kernel_boot_params")
    if scalar is not None and (problem := boot_parameters_problem(scalar.text)) is not None:
        findings.add(scalar.location, f"`kernel_boot_params`: {problem}: `{shown(scalar)}`")


def _decode_options(node: Node, generator: Generator | None, findings: Findings) -> dict[str, OptionValue]:
    entry = node.get("options") if isinstance(node, Mapping) else None
    if entry is None or generator is None or not isinstance(entry.value, Mapping):
        return {}
    options: dict[str, OptionValue] = {}
    for item in entry.value.entries:
        option = generator.options.get(item.key)
        if option is None:
            message = f"generator `{generator.name}` has no option `{item.key}`"
            findings.add(item.location, message, did_you_mean(item.key, generator.options))
            continue
        form = _format(node)
        if option.formats and form is not None and form not in option.formats:
            message = f"`{item.key}` is for {', '.join(option.formats)}, and the image is {form}"
            findings.add(item.location, message, "leave it out, or give `file` another suffix")
            continue
        try:
            options[item.key] = _option_value(option, item.value)
        except ValueError as exc:
            hint = exc.hint if isinstance(exc, _Wrong) else None
            findings.add(item.value.location, f"`{item.key}`: {exc}: `{shown(item.value)}`", hint)
    return options


def _format(node: Node) -> ImageFormat | None:
    scalar = _text(node, "file")
    return SUFFIX_FORMATS.get(PurePosixPath(scalar.text).suffix) if scalar is not None else None


class _Wrong(ValueError):  # noqa: N818 - it carries a message to the one place that reports it
    """Why a value does not suit an option."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _option_value(option: Option, node: Node) -> OptionValue:
    """The value of one generator option, typed as the generator declares it; raises _Wrong."""
    if not isinstance(node, Scalar) or node.value is None:
        raise _Wrong(f"a single value is wanted, not {kind_of(node)}")
    value = _typed(option.type, node)
    if option.choices and value not in option.choices:
        choices = [str(choice) for choice in option.choices]
        raise _Wrong(f"it is not one of {', '.join(choices)}", did_you_mean(node.text, choices))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if option.minimum is not None and value < option.minimum:
            raise _Wrong(f"it is less than {option.minimum:g}")
        if option.maximum is not None and value > option.maximum:
            raise _Wrong(f"it is more than {option.maximum:g}")
    if isinstance(value, str):
        if (problem := argument_value_problem(value)) is not None:
            raise _Wrong(problem)
        if option.pattern is not None and re.fullmatch(option.pattern, value) is None:
            raise _Wrong(f"it does not have the form {option.pattern}")
    return value


def _typed(kind: OptionType, node: Scalar) -> OptionValue:
    """The scalar in an option's type; raises _Wrong, or ValueError for a size."""
    value = node.value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case OptionType.STRING if isinstance(value, bool) and not node.verbatim:
            raise _Wrong("text is wanted here, not true or false", f'write "{node.text}"')
        case OptionType.STRING:
            return node.text
        case OptionType.BOOLEAN if isinstance(value, bool):
            return value
        case OptionType.INTEGER if isinstance(value, int) and number:
            return value
        case OptionType.NUMBER if isinstance(value, int | float) and number:
            return value
        case OptionType.SIZE:
            return parse_size(value if isinstance(value, int) else node.text)
    wanted = {OptionType.BOOLEAN: "true or false", OptionType.INTEGER: "a whole number"}.get(kind, "a number")
    raise _Wrong(f"{wanted} is wanted here")


def decode_arguments(entry: Entry | None, findings: Findings) -> dict[str, str]:
    """`args` as text; each name and value is safe in a shell, quoted or not."""
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
        return {}
    if not isinstance(entry.value, Mapping):
        message = f"`args` is a mapping of names to values, not {kind_of(entry.value)}: `{shown(entry.value)}`"
        findings.add(entry.location, message)
        return {}
    values: dict[str, str] = {}
    first: dict[str, str] = {}
    for item in entry.value.entries:
        if (problem := argument_name_problem(item.key)) is not None:
            label = shown(Scalar(location=item.location, value=item.key, text=item.key))
            findings.add(item.location, f"argument `{label}`: {problem}")
            continue
        if item.key.upper() in first:
            message = f"argument `{item.key}` is METALLIZE_{item.key.upper()}, as `{first[item.key.upper()]}` is"
            findings.add(item.location, message, "rename one of them")
            continue
        first[item.key.upper()] = item.key
        value = _argument_value(item, findings)
        if value is not None:
            values[item.key] = value
    return values


def _argument_value(item: Entry, findings: Findings) -> str | None:
    node = item.value
    if not isinstance(node, Scalar):
        value = "" if is_secret(item.key) else f": `{shown(node)}`"
        message = f"argument `{item.key}` is {kind_of(node)}; an argument is a single value{value}"
        findings.add(item.location, message)
        return None
    if node.value is None and not node.verbatim:
        findings.add(item.location, f"argument `{item.key}` has no value", 'write "" for an empty one')
        return None
    if isinstance(node.value, bool) and not node.verbatim:
        if node.text.lower() not in {"true", "false"}:
            read = str(node.value).lower()
            message = f"argument `{item.key}`: YAML reads `{node.text}` as {read}"
            findings.add(node.location, message, f'write "{node.text}" for the text, or {read}')
            return None
        return str(node.value).lower()
    return _argument_text(item.key, node, findings)


def _argument_text(key: str, node: Scalar, findings: Findings) -> str | None:
    """The value as text; one that is a secret is shown in no message."""
    if key.lower().endswith("password_hash"):
        problem = password_hash_problem(node.text)
        hint = "write what `openssl passwd -6` or `mkpasswd` prints, which begins with `$`"
    else:
        problem = argument_value_problem(node.text)
        hint = "use letters, digits, spaces and - _ . , : / + = @ % ^ [ ]"
    if problem is None:
        return node.text
    if not is_secret(key):
        problem = f"{problem}: `{shown(node)}`"
    elif key.lower().endswith("password"):
        hint = f"give its hash, as `openssl passwd -6` prints it, as `{key}_hash`, where the layer takes that"
    findings.add(node.location, f"argument `{key}`: {problem}", hint)
    return None
