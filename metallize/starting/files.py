"""The files of a new folder, as text: profile, layer, assertions, what is ignored, and CI."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metallize.catalog.schemas import modeline
from metallize.starting.answers import KINDS, Answers, Ci, os_layers
from metallize.starting.application import Application
from metallize.starting.bases import DEFAULT, family_of

_STAMP = "# made by metallize init: "
_LAYER = """\
# Whatever {name} is: packages, files, users, an app.
ARG METALLIZE_SRC_IMG
FROM ${{METALLIZE_SRC_IMG}}
# Who is greeted at login.
ARG METALLIZE_GREETING=world
RUN echo "Hello, ${{METALLIZE_GREETING}}" >/etc/motd
"""
_GITHUB = """\
# Builds the image, boots it and judges it; an image that fails is no artifact of a job that passed.
name: {name} image
on: [push, pull_request]
jobs:
  image:
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    defaults:
      run:
        working-directory: {folder}
    env:
      METALLIZE: metallize       # what pip installs: a release, a wheel, or git+https://...
    steps:
      - uses: actions/checkout@v4
      - run: |
          sudo apt-get update
          sudo apt-get install -y --no-install-recommends qemu-system-x86 qemu-utils ovmf mmdebstrap
          if [ -e /dev/kvm ]; then sudo chmod a+rw /dev/kvm; fi
          pipx install "$METALLIZE"
      - run: metallize doctor
      - run: metallize build {name}.yaml --verify
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: {name}
          path: {artifacts}
"""
_GITLAB = """\
# Builds the image, boots it and judges it, on a runner with Docker and QEMU (`metallize doctor` says what is missing).
os-image:
  script:
    - pip install "${{METALLIZE:-metallize}}"
    - cd {folder}
    - metallize doctor
    - metallize build {name}.yaml --verify
  artifacts:
    when: always
    paths: ["{artifacts}"]
    reports:
      junit: "{artifacts}/runs/**/junit.xml"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """One file, with a line that says what it is."""

    path: Path
    text: str
    about: str


def files_of(answers: Answers, application: Application | None, checkout: Path | None) -> tuple[NewFile, ...]:
    """Everything that is written; `checkout` is the git checkout that the folder stands in."""
    folder, name = answers.folder, answers.name
    made = [
        NewFile(path=folder / f"{name}.yaml", text=_profile(answers, application), about="the profile"),
        NewFile(
            path=folder / f"{name}.dockerfile",
            text=_layer(answers, application),
            about="the layer" if application is None else f"the layer that {answers.dockerfile} became",
        ),
        NewFile(
            path=folder / "assertions.yaml", text=_assertions(answers, application), about="what must hold when it runs"
        ),
        NewFile(
            path=folder / ".gitignore", text="/build/\n/.metallize/\n", about="leaves images and schemas out of git"
        ),
    ]
    made += _ci(answers, checkout or folder)
    if application is not None and application.takes_files:
        made += _ignored(answers, [each.path for each in made])
    return tuple(made)


def stamped(text: str) -> str:
    """The text with a line that tells whether it was changed since."""
    head, _, rest = text.partition("#\n")
    return f"{head}#\n{_STAMP}{_digest(head + rest)}\n{rest}"


def is_unchanged(text: str) -> bool:
    """Whether a stamped text is as it was made."""
    before, stamp, after = text.partition(_STAMP)
    digest, _, rest = after.partition("\n")
    return bool(stamp) and digest == _digest(before.removesuffix("#\n") + rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _layer(answers: Answers, application: Application | None) -> str:
    if application is None or answers.dockerfile is None:
        return _LAYER.format(name=answers.name)
    source = _relative(answers.dockerfile, answers.folder)
    shown = json.dumps(source, ensure_ascii=False)[1:-1]
    head = f"# {answers.name}: the app of {shown}, its last stage standing on the layers below.\n#\n"
    return stamped(application.directives + head + application.dockerfile)


def _profile(answers: Answers, application: Application | None) -> str:
    generator, suffix, words = KINDS[answers.kind]
    base = application.base.reference if application else answers.base or DEFAULT
    family = application.base.family if application else family_of(base)
    item = f"{answers.name}.dockerfile"
    context = answers.context or (answers.dockerfile.parent if answers.dockerfile else answers.folder)
    if (near := _relative(context, answers.folder)) != ".":
        item = f"{{layer: {item}, context: {json.dumps(near, ensure_ascii=False)}}}"
    about = f"{answers.name} as {words}, on BIOS and UEFI."
    lines = [
        modeline("profile"),
        f"# {about}",
        "platform: linux/amd64",
        "images:",
        f"  - {base}",
        *(f"  - {layer}" for layer in os_layers(answers.kind, family)),
        f"  - {item}",
        "output:",
        f"  generator: {generator}",
        f"  file: {answers.name}.{suffix}",
        *(["  options: {compress: true}      # as it is uploaded"] if suffix == "qcow2" else []),
        *(
            ["  app: {watchdog: true}          # HEALTHCHECK is asked, and the app started again"]
            if answers.watchdog
            else []
        ),
        "boot:",
        "  machines: [seabios, ovmf]      # BIOS and UEFI",
        "  login: {user: admin, password: admin}    # admin-user.dockerfile's; change it: args.admin_password",
        "  ssh: {user: admin, password: admin}",
        "  suites: [base, assertions.yaml]",
    ]
    if application is not None and application.ports:
        lines += ["  reach:                         # EXPOSE, seen from outside"]
        lines += [f"    tcp:{port}: {{}}" for port in application.ports]
    return "\n".join(lines) + "\n"


def _assertions(answers: Answers, application: Application | None) -> str:
    head = [
        modeline("suite"),
        f"# What must hold of {answers.name}: `metallize list` has every kind, `explain` says more.",
    ]
    if application is None:
        rest = ["file:", "  /etc/motd: {exists: true, contents: [Hello]}"]
        return "\n".join([*head, *rest]) + "\n"
    rest = []
    if application.container.runs_an_app:
        rest += ["service:", f"  {answers.name}: {{enabled: true, running: true}}"]
    if application.ports:
        rest += ["port:", *(f"  tcp:{port}: {{listening: true}}" for port in application.ports)]
    health = application.container.health
    check = _check(application)
    if health is not None and check:
        rest += [
            "command:",
            f"  {answers.name} is healthy:  # HEALTHCHECK",
            f"    exec: {json.dumps(check, ensure_ascii=False)}",
            "    exit-status: 0",
            f"    timeout: {max(1000, round(health.timeout.total_seconds() * 1000))}",
            "    retry_count: 30",
            "    retry_delay: 1s",
        ]
    if not rest:
        rest = ["file:", "  /etc/os-release: {exists: true}"]
    return "\n".join([*head, *rest]) + "\n"


def _check(application: Application) -> str:
    """HEALTHCHECK as the app would ask it: in its folder, as its user, with its variables."""
    container = application.container
    if container.health is None:
        return ""
    words = ["env", *(f"{key}={value}" for key, value in sorted(container.environment.items()))]
    words = [*(words if len(words) > 1 else []), *container.health.argv]
    user, _, group = container.user.partition(":")
    if user.isdecimal():
        words = ["setpriv", f"--reuid={user}", f"--regid={group or 0}", "--clear-groups", *words]
    elif user not in {"", "root"}:
        words = ["runuser", "-u", user, *(["-g", group] if group else []), "--", *words]
    folder = "" if container.directory == "/" else f"cd {shlex.quote(container.directory)} && "
    return folder + shlex.join(words)


def _ci(answers: Answers, root: Path) -> Iterator[NewFile]:
    folder = _relative(answers.folder, root)
    artifacts = (Path(folder) / "build").as_posix()
    match answers.ci:
        case Ci.GITHUB:
            text = _GITHUB.format(name=answers.name, folder=json.dumps(folder), artifacts=json.dumps(artifacts))
            path = root / ".github" / "workflows" / f"{answers.name}-image.yml"
            yield NewFile(path=path, text=text, about="builds and verifies it at every push")
        case Ci.GITLAB:
            text = _GITLAB.format(name=answers.name, folder=shlex.quote(folder), artifacts=artifacts)
            about = "builds and verifies it at every push"
            if folder != ".":
                about += f"; name it in the checkout's .gitlab-ci.yml: include: [{{local: {folder}/.gitlab-ci.yml}}]"
            yield NewFile(path=answers.folder / ".gitlab-ci.yml", text=text, about=about)
        case Ci.NONE:
            return


def _ignored(answers: Answers, written: list[Path]) -> Iterator[NewFile]:
    """The layer's own .dockerignore: the app's, and what is written here, so that no image goes into the next one."""
    assert answers.dockerfile is not None  # noqa: S101 - there is an application
    context = (answers.context or answers.dockerfile.parent).resolve()
    folder = answers.folder.resolve()
    if not folder.is_relative_to(context):
        return
    own = (answers.dockerfile.with_name(f"{answers.dockerfile.name}.dockerignore"), context / ".dockerignore")
    theirs = next((path.read_text("utf-8", "replace") for path in own if path.is_file()), "")
    path = answers.folder / f"{answers.name}.dockerfile.dockerignore"
    ours = [folder / "build", folder / ".metallize", *(each.resolve() for each in (*written, path))]
    lines = [each.relative_to(context).as_posix() for each in ours if each.is_relative_to(context)]
    text = "".join(
        (
            "# What the layer does not see of its context: the app's .dockerignore, and what `metallize init` wrote.\n",
            theirs.rstrip("\n") + "\n" if theirs else "",
            "\n".join(lines) + "\n",
        )
    )
    yield NewFile(path=path, text=text, about="keeps these files and the images out of the layer")
