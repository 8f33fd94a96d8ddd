"""The key `boot` of a profile: the machines, the logins, and what must hold when the image is up."""

from __future__ import annotations

import re
from pathlib import Path

from metallize.config.actions import action_assertions, check_links, without_assertions
from metallize.config.assertions import decode_assertions, read_suite
from metallize.config.expectations import check_expectations
from metallize.config.firmware_keys import with_keys_read
from metallize.config.lookup import look_up
from metallize.config.named_files import with_key_found, with_update_found
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.tree import Entry, Mapping, Node, Scalar, Sequence, kind_of, shown
from metallize.config.reading.validation import Findings, decode
from metallize.config.reading.words import path_problem
from metallize.config.seed import read_seed
from metallize.config.vocabulary import Vocabulary
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot, MachineOverrides, Media, parse_reach_target
from metallize.model.go_regex import compile_go_regex
from metallize.model.pattern import parse_line_pattern
from metallize.model.profile import SUFFIX_FORMATS, ImageFormat, Output, Platform

_BESIDE = ("assert", "groups")
"""Keys that the model does not keep: what they say becomes the profile's assertions and groups."""
_SECOND_BOOTS = ("reboot", "power_cut", "update")
"""Keys that ask for all of it once more."""


def decode_boot(
    entry: Entry,
    path: Path,
    vocabulary: Vocabulary,
    platform: Platform,
    output: Output | None,
    findings: Findings,
) -> tuple[Boot | None, tuple[Assertion, ...]]:
    """The `boot` section and every assertion of its suites and of its own `assert`."""
    node = entry.value
    if not isinstance(node, Mapping):
        findings.add(entry.location, f"`boot` is a mapping, not {kind_of(node)}: `{shown(node)}`")
        return None, ()
    machines = _Machines(vocabulary, platform, output, path, findings)
    rewritten = [machines.rewrite(item) if item.key == "machines" else item for item in node.entries]
    _check_patterns(node, findings)
    _check_reach(node, findings)
    _check_login(node, findings)
    check_expectations(node, vocabulary.refusals, findings)
    assertions = _suites(node.get("suites"), path, vocabulary, findings)
    if (own := node.get("assert")) is not None:
        assertions += decode_assertions(own.value, own.location, vocabulary.kinds, findings, own=True)
    assertions += action_assertions(node.get("actions"), vocabulary.kinds, findings)
    rewritten = [_prepared(item, path, findings) for item in rewritten if item.key not in _BESIDE]
    rest = Mapping(location=node.location, entries=tuple(rewritten))
    boot = decode(Boot, rest, findings, place=entry.location, also=_BESIDE)
    if boot is not None:
        check_links(node, boot, findings)
        _check_observed(node, boot, findings)
    if boot is not None and not boot.machines:
        boot = boot.model_copy(update={"machines": machines.default()})
    return boot, assertions


def _prepared(entry: Entry, path: Path, findings: Findings) -> Entry:
    """The entry as the model takes it: seeds read, a key's place found, and no `assert` in actions."""
    if entry.key == "actions":
        return without_assertions(entry)
    if entry.key == "ssh":
        return with_key_found(entry, path)
    if entry.key == "update":
        return with_update_found(entry, path)
    return read_seed(entry, path, findings) if entry.key == "seed" else entry


class _Machines:
    """boot.machines as a mapping, each entry of which leads to a machine that can boot the image."""

    def __init__(
        self, vocabulary: Vocabulary, platform: Platform, output: Output | None, path: Path, findings: Findings
    ) -> None:
        self._vocabulary = vocabulary
        self._path = path
        self._platform = platform
        self._generator = vocabulary.generators.get(output.generator) if output else None
        self._format = SUFFIX_FORMATS.get(Path(output.file).suffix) if output else None
        self._findings = findings

    def default(self) -> dict[str, MachineOverrides]:
        """Every machine of the platform that boots what the generator makes."""
        names = self._generator.machines if self._generator else ()
        known = (self._vocabulary.machines.get(name) for name in names)
        fitting = (machine for machine in known if machine is not None and machine.platform is self._platform)
        return {machine.name: MachineOverrides() for machine in fitting}

    def rewrite(self, entry: Entry) -> Entry:
        """The entry with a list of names turned into a mapping of names to nothing."""
        node = entry.value
        match node:
            case Sequence(items=()) | Mapping(entries=()):
                self._findings.add(entry.location, "`machines` is empty, so nothing would be booted", "name one")
                return _with(entry, ())
            case Sequence():
                return _with(entry, self._from_list(node))
            case Mapping():
                return _with(entry, tuple(self._from_mapping(item) for item in node.entries))
            case _:
                hint = f"write [{node.text}]" if node.value is not None else None
                message = f"`machines` is a list or a mapping, not {kind_of(node)}: `{shown(node)}`"
                self._findings.add(node.location, message, hint)
                return _with(entry, ())

    def _from_list(self, node: Sequence) -> tuple[Entry, ...]:
        entries: dict[str, Entry] = {}
        for item in node.items:
            if not isinstance(item, Scalar):
                message = f"a machine's name is wanted here, not {kind_of(item)}: `{shown(item)}`"
                self._findings.add(item.location, message)
            elif item.text in entries:
                self._findings.add(item.location, f"machine `{shown(item)}` is named twice")
            else:
                self._check(item.text, item)
                empty = Mapping(location=item.location, entries=())
                entries[item.text] = Entry(key=item.text, location=item.location, value=empty)
        return tuple(entries.values())

    def _from_mapping(self, item: Entry) -> Entry:
        node = item.value
        named = node.get("machine") if isinstance(node, Mapping) else None
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", item.key) is None:
            message = f"`{item.key[:60]}` is no name: letters, digits and . _ -"
            self._findings.add(item.location, message, "reports and run folders are called by it")
        elif named is None:
            self._check(item.key, Scalar(location=item.location, value=item.key, text=item.key), own_name=True)
        elif isinstance(named.value, Scalar):
            self._check(named.value.text, named.value)
        self._check_media(node.get("media") if isinstance(node, Mapping) else None)
        if isinstance(node, Scalar) and node.value is None:
            return Entry(key=item.key, location=item.location, value=Mapping(location=node.location, entries=()))
        name = named.value.text if named is not None and isinstance(named.value, Scalar) else item.key
        return with_keys_read(item, self._path, self._vocabulary.machines.get(name), self._findings)

    def _check_media(self, entry: Entry | None) -> None:
        if entry is None or self._format is None or not isinstance(entry.value, Scalar):
            return
        if (entry.value.text == Media.NETWORK) is not (self._format is ImageFormat.TAR):
            message = f"an image of format {self._format} cannot be booted from `{shown(entry.value)}`"
            self._findings.add(entry.value.location, message, "from the network boots a .tar, and nothing else does")

    def _check(self, name: str, node: Scalar, *, own_name: bool = False) -> None:
        machine = self._vocabulary.machines.get(name)
        if machine is None:
            hint = did_you_mean(name, self._vocabulary.machines)
            if own_name:
                hint = f"{hint}; or say which with `machine:`" if hint else "say which with `machine:`"
            self._findings.add(node.location, f"unknown machine `{shown(node)}`", hint)
        elif machine.platform is not self._platform:
            message = f"machine `{name}` runs {machine.platform}, and the image is for {self._platform}"
            self._findings.add(node.location, message, "set `platform`, or choose another machine")
        elif self._generator is not None and not self._generator.boots_on(machine):
            message = f"machine `{name}` cannot boot what generator `{self._generator.name}` makes"
            able = [each.name for each in self._vocabulary.machines.values() if self._generator.boots_on(each)]
            self._findings.add(node.location, message, f"these can: {', '.join(able)}" if able else "nothing can")


def _with(entry: Entry, entries: tuple[Entry, ...]) -> Entry:
    value = Mapping(location=entry.value.location, entries=entries)
    return Entry(key=entry.key, location=entry.location, value=value)


def _check_observed(node: Mapping, boot: Boot, findings: Findings) -> None:
    """What somebody must look at in the guest asserts nothing where nobody is logged in, unless it must not boot."""
    expected = [each.expect or boot.expect for each in (boot.machines or {"": MachineOverrides()}).values()]
    boots = any(each is None or each.refused is None for each in expected)
    if boot.login is not None or boot.ssh is not None or not boots:
        return
    wanted = {"assert", "suites", "groups", "actions"}
    wanted |= {key for key in _SECOND_BOOTS if getattr(boot, key)}
    entries = [entry for entry in node.entries if entry.key in wanted]
    time = node.get("time")
    units = time.value.get("units") if time is not None and isinstance(time.value, Mapping) else None
    for entry in [*entries, *([units] if units is not None else [])]:
        verb = "need" if entry.key.endswith("s") else "needs"
        message = f"`{entry.key}` {verb} a shell in which to observe"
        findings.add(entry.location, message, "declare `login` or `ssh`")


def check_power_cut(boot: Boot, entry: Entry, findings: Findings, *, has_groups: bool) -> None:
    """What `power_cut` asks for and cannot be had."""
    asked = entry.value.get("power_cut") if isinstance(entry.value, Mapping) else None
    cut, location = boot.power_cut, asked.location if asked is not None else entry.location
    if cut is None:
        return
    if cut.moments and has_groups:
        findings.add(
            location,
            "`power_cut.moments` and `groups` do not go together: a disk whose writes are logged has no snapshot",
            "ask for one of them in a profile that extends this one",
        )
    if cut.boots > cut.moments:
        message = f"`power_cut.boots` are of its moments: there are no {cut.boots} of {cut.moments}"
        findings.add(location, message, f"moments: {max(cut.boots, 100)}")


def _items(node: Node | None, *keys: str) -> tuple[Scalar, ...]:
    """The texts of a list at the end of a path of keys; () where there is none."""
    for key in keys:
        entry = node.get(key) if isinstance(node, Mapping) else None
        node = entry.value if entry else None
    return tuple(item for item in node.items if isinstance(item, Scalar)) if isinstance(node, Sequence) else ()


def _check_patterns(node: Mapping, findings: Findings) -> None:
    for key in ("require", "forbid", "allow"):
        for item in _items(node, "console", key):
            try:
                compile_go_regex(item.text)
            except ValueError as exc:
                findings.add(item.location, f"`{key}`: {exc}")
            else:
                if not item.text:
                    findings.add(item.location, f"`{key}`: an empty expression matches every line")


def _check_reach(node: Mapping, findings: Findings) -> None:
    entry = node.get("reach")
    if entry is None or not isinstance(entry.value, Mapping):
        return
    if not entry.value.entries:
        findings.add(entry.location, "`reach` is empty, so it asserts nothing", "leave it out, or name a target")
    for target in entry.value.entries:
        try:
            scheme = parse_reach_target(target.key).scheme
        except ValueError as exc:
            findings.add(target.location, f"`{target.key[:60]}`: {exc}", "for example tcp:22 or http://:8080/health")
            continue
        if not isinstance(target.value, Mapping):
            continue
        tcp, http = {"banner", "refuses_password"}, {"status", "body"}
        allowed = {"timeout", *(tcp if scheme == "tcp" else http)}
        for item in target.value.entries:
            if item.key in (tcp | http) - allowed:
                message = f"`{item.key}` means nothing for `{target.key}`"
                findings.add(item.location, message, f"it takes {', '.join(sorted(allowed))}")
        _check_lines(target.value, findings)


def _check_lines(node: Mapping, findings: Findings) -> None:
    banner = node.get("banner")
    texts = [*_items(node, "body")]
    if banner is not None and isinstance(banner.value, Scalar):
        texts.append(banner.value)
    for item in texts:
        try:
            parse_line_pattern(item.text)
        except ValueError as exc:
            findings.add(item.location, str(exc))
    body = node.get("body")
    if body is not None and isinstance(body.value, Sequence) and not body.value.items:
        findings.add(body.location, "`body` is empty, so it asserts nothing", "leave it out")


def _check_login(node: Mapping, findings: Findings) -> None:
    for section in ("login", "ssh"):
        entry = node.get(section)
        if entry is None or not isinstance(entry.value, Mapping):
            continue
        user = entry.value.get("user")
        if user is not None and isinstance(user.value, Scalar):
            name = user.value.text
            if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?", name) is None:
                findings.add(user.value.location, f"`user`: `{shown(user.value)}` is no name of a Linux user")
        if section == "ssh":
            _check_ssh(entry, entry.value, findings)


def _check_ssh(entry: Entry, node: Mapping, findings: Findings) -> None:
    key, password = node.get("key"), node.get("password")
    if key is None and password is None:
        findings.add(entry.location, "`ssh` names neither a password nor a key", "add `key: ephemeral`")
    if key is None or not isinstance(key.value, Scalar) or key.value.text == "ephemeral":
        return
    if (problem := path_problem(key.value.text)) is not None:
        hint = "use `ephemeral`, or a private key beside the profile"
        findings.add(key.value.location, f"`key`: {problem}: `{shown(key.value)}`", hint)


def _suites(entry: Entry | None, path: Path, vocabulary: Vocabulary, findings: Findings) -> tuple[Assertion, ...]:
    if entry is None or not isinstance(entry.value, Sequence):
        return ()
    if not entry.value.items:
        findings.add(entry.location, "`suites` is empty, so it asserts nothing", "leave it out, or name a suite")
    assertions: tuple[Assertion, ...] = ()
    seen: set[Path] = set()
    for item in entry.value.items:
        if not isinstance(item, Scalar):
            continue
        suite = _find_suite(item, path, vocabulary, findings)
        if suite is None:
            continue
        if suite in seen:
            findings.add(item.location, f"suite `{shown(item)}` is named twice")
            continue
        seen.add(suite)
        assertions += read_suite(suite, vocabulary.kinds, findings)
    return assertions


def _find_suite(item: Scalar, path: Path, vocabulary: Vocabulary, findings: Findings) -> Path | None:
    found = look_up(item, "suite", findings, lambda name: vocabulary.suites.find(name, beside=path.parent))
    if found is None and not findings.at(item.location):
        hint = did_you_mean(item.text, vocabulary.suites.names(beside=path.parent))
        findings.add(item.location, f"unknown suite `{shown(item)}`", hint)
    return found
