"""What a profile tells its layers by `args`, held against what the layers declare, before anything is built.

An argument that nobody declares would be dropped by Docker without a word, and a password that the layers give but the
boot does not expect would be found out after the whole build. Pure: it reads what `sources` has read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from metallize.build.dockerfile import Dockerfile, Instruction
from metallize.build.password_hash import hashed
from metallize.build.sources import LayerSource
from metallize.config.project import FILE as PROJECT_FILE
from metallize.config.reading.places import profile_places
from metallize.config.reading.suggest import did_you_mean
from metallize.errors import Problem
from metallize.model.catalogue import Generator
from metallize.model.loaded import Profile

PREFIX = "METALLIZE_"
FROM_ORIGINAL = "compression"
"""The one argument of the original format that its generators took; ours take it as an option too."""
_HASH = "_password_hash"


def problems(profile: Profile, rootfs: Sequence[str | LayerSource], generator: Generator) -> list[Problem]:
    """All that is wrong with the arguments of a profile; `rootfs` has its images in their order."""
    layers = [part for part in rootfs if not isinstance(part, str)]
    return [
        *_undeclared(profile, layers, generator),
        *_two_passwords(profile),
        *_other_passwords(profile, layers),
    ]


def without_passwords(arguments: Mapping[str, str], rootfs: Sequence[str | LayerSource], name: str) -> dict[str, str]:
    """The layers' arguments (METALLIZE_...) with the hash of a password in place of it, where the layers take one.

    Docker keeps a build's arguments in the image's history, and every user of the host sees them while it runs.
    A password goes as METALLIZE_X_PASSWORD_HASH where every layer that declares METALLIZE_X_PASSWORD declares that too.
    A layer's own default goes so too, or its hash would have another salt in each build. `name` is the profile's, from
    which the salt of its passwords follows; one of a default is the same in all profiles, which share that layer.
    """
    layers = [part.dockerfile for part in rootfs if not isinstance(part, str)]
    declared = [layer.arguments for layer in layers]
    given = _hashed_defaults(arguments, layers)
    for argument, value in arguments.items():
        takers = [names for names in declared if argument in names]
        hash_argument = f"{argument}_HASH"
        if argument.endswith("_PASSWORD") and value and takers and all(hash_argument in names for names in takers):
            given[hash_argument] = hashed(value, f"metallize {name} {argument}")
        else:
            given[argument] = value
    return given


def _hashed_defaults(arguments: Mapping[str, str], layers: Sequence[Dockerfile]) -> dict[str, str]:
    """The hash of each password that no argument gives and on which all layers that take it agree."""
    found: dict[str, set[str | None]] = {}
    for layer in layers:
        defaults = _defaults(layer)
        for argument in layer.arguments:
            if argument.endswith("_PASSWORD"):
                takes_hash = f"{argument}_HASH" in layer.arguments and not defaults.get(f"{argument}_HASH")
                found.setdefault(argument, set()).add(defaults.get(argument) if takes_hash else None)
    return {
        f"{argument}_HASH": hashed(password, f"metallize default {argument}")
        for argument, values in found.items()
        if argument not in arguments and f"{argument}_HASH" not in arguments
        for password in ([*values] if len(values) == 1 else [])
        if password
    }


def _undeclared(profile: Profile, layers: Sequence[LayerSource], generator: Generator) -> Iterator[Problem]:
    """Arguments that no layer declares and the generator does not know."""
    declared = frozenset(name for layer in layers for name in layer.dockerfile.arguments)
    for key in profile.args:
        name = f"{PREFIX}{key.upper()}"
        if name in declared or _goes_to_a_generator(key, profile, generator):
            continue
        if profile.location("args", key).path.name == PROJECT_FILE:
            continue  # it is for the profiles whose layers take it
        message = f"argument `{key}`: no layer of the profile declares {name}, so it would do nothing"
        hint = _hint(key, declared, generator)
        yield Problem(location=profile.location("args", key), message=message, hint=hint)


def _goes_to_a_generator(key: str, profile: Profile, generator: Generator) -> bool:
    """Whether it is the original's `compression` and a generator takes it: of several outputs, perhaps another's."""
    return key == FROM_ORIGINAL and (key in generator.options or profile.several)


def _hint(key: str, declared: frozenset[str], generator: Generator) -> str | None:
    """What was meant by an argument that nobody declares."""
    keys = sorted(name.removeprefix(PREFIX).lower() for name in declared if name == name.upper() and _is_ours(name))
    near = did_you_mean(key, keys)
    if near is not None and near.startswith("did you mean"):
        return near
    if key in generator.options:
        return f"it is an option of generator `{generator.name}`: output.options.{key}"
    for name in sorted(declared):
        if _is_ours(name) and name.removeprefix(PREFIX).lower() == key.lower():
            return f"a layer declares {name}, and a profile sets names in capitals only"
        if name.lower() == key.lower():
            return f"a layer declares {name}: rename it {PREFIX}{key.upper()} there, for a profile to set it"
    return profile_places().hint(key) or near or "none of its layers takes an argument"


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and name != f"{PREFIX}SRC_IMG"


def _two_passwords(profile: Profile) -> Iterator[Problem]:
    """A password in clear beside the hash of one: the layer can take only one of them."""
    keys = {key.lower(): key for key in profile.args}
    for lower, key in keys.items():
        if lower.endswith(_HASH) and profile.args[key] and lower.removesuffix("_hash") in keys:
            clear = keys[lower.removesuffix("_hash")]
            message = f"arguments `{clear}` and `{key}` both say what the password is"
            yield Problem(location=profile.location("args", clear), message=message, hint=f"leave `{clear}` out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A user whom a layer gives a password, and the argument that says which."""

    user: str
    password: str
    argument: str
    layer: str


def _other_passwords(profile: Profile, layers: Sequence[LayerSource]) -> Iterator[Problem]:
    """A login whose password is another one than the layers give that user.

    Only where it is certain: no layer above may have changed it, and no seed does.
    """
    boot = profile.boot
    if boot is None or boot.seed:
        return
    accounts = {account.user: account for account in _accounts(profile, layers)}
    for section, way in (("login", boot.login), ("ssh", boot.ssh)):
        if way is None or way.password is None or way.user not in accounts:
            continue
        account = accounts[way.user]
        if account.password == way.password:
            continue
        set_by = account.argument.removeprefix(PREFIX).lower()
        place = profile.location("args", set_by) if set_by in profile.args else f"{account.layer}'s default"
        yield Problem(
            location=profile.location("boot", section, "password"),
            message=f"`boot.{section}.password` is not the password that {account.layer} gives `{way.user}`",
            hint=f"args.{set_by} says which: {place}",
        )


def _accounts(profile: Profile, layers: Sequence[LayerSource]) -> Iterator[_Account]:
    """The users with a known password in the end, each layer's own where no later one may have touched it."""
    given = {f"{PREFIX}{key.upper()}": value for key, value in profile.args.items()}
    for index, layer in enumerate(layers):
        values = {**_defaults(layer.dockerfile), **_declared(layer.dockerfile, given)}
        for argument, password in values.items():
            user = values.get(f"{argument.removesuffix('_PASSWORD')}_USER")
            if not argument.endswith("_PASSWORD") or user is None or values.get(f"{argument}_HASH"):
                continue
            if not _sets_password(layer.dockerfile, argument):
                continue
            if not any(may_set_passwords(above.dockerfile) for above in layers[index + 1 :]):
                yield _Account(user=user, password=password, argument=argument, layer=layer.layer.name)


def _declared(dockerfile: Dockerfile, given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name in dockerfile.arguments}


def _defaults(dockerfile: Dockerfile) -> dict[str, str]:
    """Defaults of its own arguments that are plain text; one that stands on another is left out."""
    found = {}
    for each in dockerfile.instructions:
        if each.word == "ARG":
            for word in _words(each.rest):
                name, equals, value = word.partition("=")
                if equals and _is_ours(name) and "$" not in value:
                    found[name] = value
    return found


def _sets_password(dockerfile: Dockerfile, argument: str) -> bool:
    """Whether it is a user of the system whose password this is, and not one of a database, say."""
    return any(
        each.word == "RUN" and "chpasswd" in each.rest and argument in each.rest for each in dockerfile.instructions
    )


_OF_ACCOUNTS = re.compile(
    r"passwd|shadow|usermod|userdel|deluser|newusers|cloud-init|<<|--mount=(?!type=(?:cache|tmpfs|secret|ssh)\b)"
)
"""In a RUN: what changes a password, or brings in what may."""


def may_set_passwords(dockerfile: Dockerfile) -> bool:
    """Whether a layer may change the password of a user whom a layer below made; true where it cannot be told."""
    runs = [each for each in dockerfile.instructions if each.word == "RUN"]
    copied = [name for each in dockerfile.instructions if each.word in {"COPY", "ADD"} for name in _copied(each)]
    if any(_may_hold_accounts(each) for each in dockerfile.instructions if each.word in {"COPY", "ADD"}):
        return True
    if any(_OF_ACCOUNTS.search(each.rest) for each in runs):
        return True
    return any(name in each.rest for name in copied for each in runs)


def _copied(instruction: Instruction) -> Iterator[str]:
    """Names by which a RUN could start what a COPY brings: those of its sources, and of where they go."""
    words = [word.strip('",[]') for word in _words(instruction.rest) if not word.startswith("--")]
    for word in words:
        name = PurePosixPath(word).name
        if name and name != ".":
            yield name.rpartition("*")[2] or name


def _may_hold_accounts(instruction: Instruction) -> bool:
    """Whether a COPY or ADD may bring /etc/shadow: into /etc, into the root, or to where only a build knows."""
    words = [word.strip('",[]') for word in _words(instruction.rest) if not word.startswith("--")]
    target = words[-1] if words else ""
    return not target.startswith("/") or "$" in target or re.match(r"/+(?:$|\.|etc(?:/|$))", target) is not None


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()
