"""From the bytes of a YAML file to a tree with places, or to the problems that keep it from being one.

Source: YAML 1.1 as PyYAML's SafeLoader reads it (pyyaml.org/wiki/PyYAMLDocumentation); its composer's nodes
carry the marks. Sizes, depth and expansion are bounded, so that no file can take the machine down.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, ScalarValue, Sequence
from metallize.config.reading.words import control_character
from metallize.errors import Location, Problem

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_VALUES = 20_000
"""A profile of a hundred lines has a few hundred values; aliases can multiply them without end."""

_PREFIX = "tag:yaml.org,2002:"


class _Unusable(Exception):  # noqa: N818 - it carries problems out of a recursion and never leaves this module
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_tree(path: Path, problems: list[Problem]) -> Node | None:
    """The file's tree; what is wrong is added to `problems`, and None means that there is no tree at all."""
    text = read_text(path, problems)
    return None if text is None else parse_tree(path, text, problems)


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """The file's text, or None after saying why it cannot be read."""
    start = Location(path=path, line=1, column=1)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except IsADirectoryError:
        problems.append(Problem(location=start, message="this is a folder, not a file"))
    except FileNotFoundError:
        problems.append(Problem(location=start, message="there is no such file", hint=_beside(path)))
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        problems.append(Problem(location=start, message=f"the file cannot be read: {reason}"))
    else:
        if len(raw) > MAX_BYTES:
            problems.append(Problem(location=start, message="the file is larger than 1 MiB; this is no profile"))
            return None
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as exc:
            before = raw[: exc.start]
            place = Location(path=path, line=before.count(b"\n") + 1, column=exc.start - (before.rfind(b"\n") + 1) + 1)
            message = f"the file is not UTF-8 text: byte 0x{raw[exc.start]:02x}"
            problems.append(Problem(location=place, message=message, hint="save it as UTF-8"))
    return None


def _beside(path: Path) -> str | None:
    try:
        names = [str(entry.name) for entry in path.parent.iterdir() if entry.suffix in {".yaml", ".yml"}]
    except OSError:
        return None
    return did_you_mean(path.name, names)


def parse_tree(path: Path, text: str, problems: list[Problem]) -> Node | None:
    """The tree of one YAML document; see `read_tree`."""
    start = Location(path=path, line=1, column=1)
    loader: yaml.SafeLoader | None = None
    try:
        loader = _Shallow(path, text)
        root = loader.get_single_node()
        if root is None:
            problems.append(Problem(location=start, message="the file is empty"))
            return None
        return _Builder(path, loader, problems).node(root)
    except _Unusable as exc:
        problems.append(exc.problem)
    except yaml.reader.ReaderError as exc:
        place = _place_of(path, text, exc.position)
        message = f"the file holds a character that YAML does not allow: U+{_code(exc.character):04X}"
        problems.append(Problem(location=place, message=message, hint="is it a binary file?"))
    except yaml.MarkedYAMLError as exc:
        problems.append(_syntax_problem(path, exc))
    except RecursionError:
        problems.append(Problem(location=start, message="the file is nested too deeply"))
    except (yaml.YAMLError, ValueError, IndexError, OverflowError) as exc:
        problems.append(Problem(location=start, message=f"this is not YAML: {exc}"))
    finally:
        if loader is not None:
            loader.dispose()
    return None


def _code(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def _place_of(path: Path, text: str, position: int) -> Location:
    before = text[:position]
    return Location(path=path, line=before.count("\n") + 1, column=position - (before.rfind("\n") + 1) + 1)


def _location(path: Path, mark: yaml.Mark | None) -> Location:
    if mark is None:
        return Location(path=path, line=1, column=1)
    return Location(path=path, line=mark.line + 1, column=mark.column + 1)


def _syntax_problem(path: Path, exc: yaml.MarkedYAMLError) -> Problem:
    what = " ".join(part for part in (exc.context, exc.problem) if part)
    hint = None
    if "'\\t'" in what:
        hint = "YAML indents with spaces, never with tabs"
    elif "expected a single document" in what:
        hint = "one file holds one document; remove the second `---`"
    elif "mapping values are not allowed" in what:
        hint = "put text that holds `: ` in quotes, and check the indentation"
    elif "undefined alias" in what:
        hint = "put text that starts with * in quotes"
    elif "cannot start any token" in what or "%" in what:
        hint = "put text that starts with @, ` or % in quotes"
    return Problem(
        location=_location(path, exc.problem_mark or exc.context_mark),
        message=f"this is not YAML: {what}",
        hint=hint,
    )


class _Shallow(yaml.SafeLoader):
    """Gives its composer, which needs a recursion for each level, no more levels than MAX_DEPTH."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self._path, self._depth = path, 0

    def get_event(self) -> Any:
        event = super().get_event()  # type: ignore[no-untyped-call]  # the stubs lack it
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        self._depth -= isinstance(event, yaml.CollectionEndEvent)
        if self._depth > MAX_DEPTH:
            message = f"the file is nested more than {MAX_DEPTH} levels deep"
            raise _Unusable(Problem(location=_location(self._path, event.start_mark), message=message))
        return event


class _Builder:
    """Turns PyYAML's nodes into ours, expanding aliases and merge keys and counting what that makes."""

    def __init__(self, path: Path, loader: yaml.SafeLoader, problems: list[Problem]) -> None:
        self._path = path
        self._loader = loader
        self._problems = problems
        self._open: set[int] = set()
        self._count = 0

    def node(self, source: yaml.Node) -> Node:
        place = _location(self._path, source.start_mark)
        self._count += 1
        if self._count > MAX_VALUES:
            message = f"the file expands to more than {MAX_VALUES} values"
            raise _Unusable(Problem(location=place, message=message, hint="do its aliases multiply each other?"))
        if id(source) in self._open:
            raise _Unusable(Problem(location=place, message="an alias stands inside the very value that it names"))
        if isinstance(source, yaml.ScalarNode):
            return self._scalar(source, place)
        self._open.add(id(source))
        try:
            if isinstance(source, yaml.SequenceNode):
                self._check_tag(source, "seq", place)
                return Sequence(location=place, items=tuple(self.node(item) for item in source.value))
            if not isinstance(source, yaml.MappingNode):
                raise TypeError(f"PyYAML composed a {type(source).__name__}")
            self._check_tag(source, "map", place)
            return Mapping(location=place, entries=tuple(self._entries(source)))
        finally:
            self._open.discard(id(source))

    def _check_tag(self, source: yaml.Node, wanted: str, place: Location) -> None:
        if source.tag != f"{_PREFIX}{wanted}":
            self._problems.append(Problem(location=place, message=f"the tag {_tag(source)} is not supported"))

    def _scalar(self, source: yaml.ScalarNode, place: Location) -> Scalar:
        text = self._whole(source.value, place)
        value: ScalarValue = text
        match source.tag.removeprefix(_PREFIX):
            case "str" | "timestamp" | "value" | "merge":
                pass
            case "null":
                value = None
            case "int" | "float" if ":" in text:
                pass  # 22:22 is sexagesimal in YAML 1.1, which nobody means
            case "bool" | "int" | "float":
                try:
                    value = self._loader.construct_object(source)
                except (ValueError, KeyError, OverflowError, IndexError, yaml.YAMLError):
                    value = text
            case _:
                self._problems.append(Problem(location=place, message=f"the tag {_tag(source)} is not supported"))
        return Scalar(location=place, value=value, text=text)

    def _whole(self, text: str, place: Location) -> str:
        r"""The text with the halves of characters joined that JSON writes as two escapes (\ud83d\ude00)."""
        if not re.search("[\ud800-\udfff]", text):
            return text
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            message = "it holds one half of a character that is written as two escapes"
            self._problems.append(Problem(location=place, message=message))
            return text.encode(errors="replace").decode()

    def _entries(self, source: yaml.MappingNode) -> list[Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in source.value:
            place = _location(self._path, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(Problem(location=place, message="a key must be text, not a list or mapping"))
                continue
            if key_node.tag == f"{_PREFIX}merge":
                self._merge(value_node, merged)
                continue
            key = self._whole(key_node.value, place)
            if key in own:
                first = own[key].location
                message = f"duplicate key `{key}`; it stands first at {first.line}:{first.column}"
                self._problems.append(Problem(location=place, message=message, hint="join the two"))
                continue
            own[key] = Entry(key=key, location=place, value=self.node(value_node))
        return [*own.values(), *(entry for key, entry in merged.items() if key not in own)]

    def _merge(self, source: yaml.Node, merged: dict[str, Entry]) -> None:
        """Add what `<<` brings; of several mappings the earlier wins (yaml.org/type/merge.html)."""
        brought = self.node(source)
        parts = brought.items if isinstance(brought, Sequence) else (brought,)
        for part in parts:
            if not isinstance(part, Mapping):
                message = "`<<` takes a mapping, or a list of mappings"
                self._problems.append(Problem(location=brought.location, message=message))
                continue
            for entry in part.entries:
                merged.setdefault(entry.key, entry)


def _tag(source: yaml.Node) -> str:
    return str(source.tag).replace(_PREFIX, "!!")


def resolve_scalar(text: str, location: Location) -> Scalar:
    """A value from the command line, with YAML's meaning where a number or a boolean is wanted."""
    loader = yaml.SafeLoader("")
    try:
        tag = f"{_PREFIX}str"
        if control_character(text) is None:
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # as above
        scalar = _Builder(location.path, loader, [])._scalar(yaml.ScalarNode(tag, text), location)  # noqa: SLF001
    finally:
        loader.dispose()
    return Scalar(location=location, value=scalar.value, text=text, verbatim=True)
