"""The pytest plugin: a profile's promises, goss files and test functions over guests that really run.

It is loaded by every pytest run of an environment that metallize is installed in. So this module does nothing but
declare the options; the rest is imported when one of them is used or a profile is named on the command line.
docs/testing.md tells how it is used, `metallize.pytest_plugin.api` what test functions are given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--profile", "metallize_profiles", {
        "action": "append", "metavar": "PROFILE",
        "help": "test the image of this profile, a file or a shipped name; built where it is not (repeatable)",
    }),
    ("--image", "metallize_images", {
        "action": "append", "metavar": "FILE", "help": "test this disk image, whoever made it (repeatable)",
    }),
    ("--machine", "metallize_machines", {
        "action": "append", "metavar": "NAME", "help": "only on this machine (repeatable; default: the profile's)",
    }),
    ("--accel", "metallize_accel", {
        "default": "auto", "choices": ["auto", "kvm", "tcg"], "help": "what runs the guests (default: probed)",
    }),
    ("--metallize-build-dir", "metallize_build_dir", {
        "metavar": "FOLDER", "help": "where images and run folders are (default: the profile's, else build)",
    }),
    ("--secret", "metallize_secrets", {
        "action": "append", "metavar": "id=NAME,src=FILE",
        "help": "lent to a layer's RUN --mount while an image is built; also id=NAME,env=VARIABLE (repeatable)",
    }),
    ("--ssh", "metallize_ssh", {
        "action": "append", "metavar": "ID[=SOCKET|KEY]",
        "help": "an SSH agent that is lent in the same way: default is the one that runs (repeatable)",
    }),
    ("--metallize-user", "metallize_user", {
        "metavar": "NAME", "help": "with --image: log in as this user, over serial and SSH",
    }),
    ("--metallize-password", "metallize_password", {"metavar": "PASSWORD", "help": "its password"}),
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser) -> None:
    """Declare the options, after all other plugins and the project's conftest.py have declared theirs.

    A name that one of them has taken is theirs; ours is then `--metallize-NAME` alone, which is always there.
    """
    del early_config
    group = parser.getgroup("metallize", "bootable images under test (metallize)")
    groups = [*getattr(parser, "_groups", ()), getattr(parser, "_anonymous", None)]
    taken = {name for each in groups if each is not None for option in each.options for name in option.names()}
    for name, dest, attributes in _OPTIONS:
        full = name if name.startswith("--metallize-") else f"--metallize-{name[2:]}"
        names = [full] if name in taken or name == full else [name, full]
        group.addoption(*names, dest=dest, **attributes)


def pytest_configure(config: pytest.Config) -> None:
    """Go to work where the command line names a profile or an image."""
    config.addinivalue_line(
        "markers", "fresh_guest: (metallize) boot a guest for this test alone, which nothing else has touched"
    )
    profiles = [path for arg in config.args for path in _profiles_named(config, arg)]
    if profiles or config.getoption("metallize_profiles", None) or config.getoption("metallize_images", None):
        from metallize.pytest_plugin.session import start  # noqa: PLC0415 - what others' test runs need not import

        start(config, profiles)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say of options of ours that they do nothing in a run that names no profile and no image."""
    if config.pluginmanager.has_plugin("metallize-session"):
        return None
    given = [name for name, dest, more in _OPTIONS if config.getoption(dest, None) not in (None, more.get("default"))]
    if not given:
        return None
    return f"metallize: nothing is booted, so {', '.join(given)} says nothing: name a profile (--profile) or an --image"


def _profiles_named(config: pytest.Config, arg: str) -> list[Path]:
    """The profiles that an argument stands for: itself, or those of a folder that is called `profiles`.

    Only what a person typed counts, so that nobody's YAML files are collected by accident.
    """
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    path = config.invocation_params.dir / str(arg).partition("::")[0]
    if path.suffix in {".yaml", ".yml"}:
        return [path] if is_profile(path) else []
    if path.name == "profiles" and path.is_dir():
        return [file for file in sorted(path.glob("*.y*ml")) if is_profile(file)]
    return []


def is_profile(path: Path) -> bool:
    """Whether a file has the keys that make a profile; whether they are right is not asked here."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    keys = {line.split(" ")[0].rstrip() for line in lines}
    return bool(keys & {"images:", "extends:"} and keys & {"output:", "outputs:"})
