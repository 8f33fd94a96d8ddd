"""What text from a profile may hold where it goes on into shells, file names and folders."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_UNSAFE_IN_SHELL = frozenset(";&|<>$`\"'\\(){}*?!#~")
"""Layers write ${METALLIZE_X} in RUN lines without quotes, so these could run there."""
_UNSAFE_IN_LOADER = frozenset(";&|<>$`\"'\\{}#")
"""GRUB's script language gives meaning to these (GNU GRUB manual, Shell-like scripting)."""
_RESERVED_ARGUMENTS = frozenset({"src_img"})
_PASSWORD_HASH = re.compile(r"\$(?:y|gy|7|6|5|2[abxy]|sha1|md5|1)[$,][./A-Za-z0-9$=,+-]{8,400}")
_IMAGE_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?/)?"  # a registry's host
    r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


def control_character(text: str) -> str | None:
    """The first control or unprintable character of a text, in words, or None."""
    for char in text:
        if char == "\n":
            return "a line break"
        if char == "\0":
            return "a NUL byte"
        if not char.isprintable():
            return f"the control character U+{ord(char):04X}"
    return None


def is_secret(name: str) -> bool:
    """Whether the value of an argument of this name is shown to nobody."""
    return re.search(r"password|passphrase|passwd|secret|token", name, re.IGNORECASE) is not None


def password_hash_problem(value: str) -> str | None:
    """Why this is no hash of a password as crypt(5) lists them, or None; it may be empty."""
    if not value or _PASSWORD_HASH.fullmatch(value):
        return None
    return "this is no hash of a password"


def argument_name_problem(name: str) -> str | None:
    """Why this cannot be the name of a build argument, or None."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) is None:
        return "a name is letters, digits and _, and starts with no digit"
    if name.lower() in _RESERVED_ARGUMENTS:
        return "METALLIZE_SRC_IMG is the image that a layer stands on, and metallize sets it"
    return None


def argument_value_problem(value: str) -> str | None:
    """Why a layer could not use this value in an unquoted RUN line, or None."""
    if (control := control_character(value)) is not None:
        return f"it holds {control}"
    if (bad := next((char for char in value if char in _UNSAFE_IN_SHELL), None)) is not None:
        return f"it holds `{bad}`, which a shell gives a meaning"
    return None


def boot_parameters_problem(value: str) -> str | None:
    """Why this cannot stand on the kernel's command line in a boot loader's configuration, or None."""
    if (control := control_character(value)) is not None:
        return f"it holds {control}"
    if (bad := next((char for char in value if char in _UNSAFE_IN_LOADER), None)) is not None:
        return f"it holds `{bad}`, which a boot loader gives a meaning"
    return None


def path_problem(text: str) -> str | None:
    """Why this is no relative path that stays in its folder, or None."""
    if not text.strip():
        return "it is empty"
    if (control := control_character(text)) is not None:
        return f"it holds {control}"
    if text.startswith(("/", "~")) or "\\" in text:
        return "it is an absolute path" if text.startswith("/") else "it is no plain relative path"
    if ".." in PurePosixPath(text).parts:
        return "it leaves its folder with `..`"
    if text.startswith("-"):
        return "it starts with `-`, as an option does"
    return None


def file_name_problem(text: str) -> str | None:
    """Why this is no plain file name in the build folder, or None."""
    if "/" in text or "\\" in text or text in {".", ".."}:
        return "it names a folder; the file always goes to the build folder"
    if (control := control_character(text)) is not None:
        return f"it holds {control}"
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}", text) is None:
        return "a file name is letters, digits and . _ + -, and starts with a letter or digit"
    return None


def is_image_reference(text: str) -> bool:
    """Whether this could be an image's name in a registry (github.com/distribution/reference)."""
    return len(text) <= 255 and _IMAGE_REFERENCE.fullmatch(text) is not None  # noqa: PLR2004 - the reference's own limit


def layer_name_problem(text: str) -> str | None:
    """Why an entry of `images` is no layer's name, or None."""
    if (problem := path_problem(text)) is not None:
        return problem
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}", text) is None:
        return "a name is letters, digits and . _ - / : @"
    return None
