"""The last steps of a plan: the rootfs is sealed and exported, an image made of it, and signed."""

from __future__ import annotations

import json
from dataclasses import replace

from metallize.build import step as slots
from metallize.build.engines import rootfs_pipe
from metallize.build.plan import BASE_ARGUMENT, SOURCE_ARGUMENT, TOOLS_ARGUMENT, BuildPlan, Seal
from metallize.build.signing import Signing
from metallize.build.step import DOCKER, Kind, Slot, Step, Word, digest_of, key_of
from metallize.host.token import Token, signing_words
from metallize.model.profile import Platform

RUN_LABEL, BUILDER_LABEL = "io.metallize.run", "io.metallize.builder"
"""On a generator's container, a sealed rootfs and its container: the name of the build's folder; the process that it
works for (engines/orphans.py)."""
LIMITS = (
    "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp",  # noqa: S108 - the container's own
)  # fmt: skip
"""A generator has no network, no capability, and nothing to write to but /out and /tmp."""
GENERATOR = "/generator/build"
"""The program of the tools' image that makes the image."""
SIGNER, SIGNING_KEY = "/generator/sign", "/run/metallize/signing.key"
"""The program that signs, and where its container has the private key."""
LABEL, BUILDER, MOUNTED = "label", "builder", "work_csv"
"""The name of the build's folder; the folder as a field of a CSV record (docker-run(1), --mount)."""
SEALED, SEALED_DIGITS = "sealed", 16
"""What tells the sealed rootfs of this build from others: so many digits of the SHA-256 of the folder's path."""
SEALED_IMAGE, SEALED_CONTAINER = "metallize/sealed", "metallize-sealed"
"""The repository of the sealed rootfs's image, and what its container's name begins with."""
COMPARED, NOTHING = "compared", "scratch"
"""What the seal compares the rootfs with: its ground, or nothing where ONBUILD instructions would run once more."""
BUILD: tuple[Word, ...] = (DOCKER, "build", "--progress", "plain")
"""What every image is built by."""


def _labels() -> tuple[Word, ...]:
    """What says of an image or a container whose it is."""
    return (
        "--label", Slot(name=LABEL, before=f"{RUN_LABEL}="),
        "--label", Slot(name=BUILDER, before=f"{BUILDER_LABEL}="),
    )  # fmt: skip


def seal_step(seal: Seal, platform: Platform, top: str, tools: str, compared: Word) -> Step:
    base = f"{BASE_ARGUMENT}={compared}" if isinstance(compared, str) else replace(compared, before=f"{BASE_ARGUMENT}=")
    argv: tuple[Word, ...] = (
        *BUILD,
        "--platform", str(platform),
        "--file", str(seal.dockerfile),
        "--build-arg", Slot(name=top, before=f"{SOURCE_ARGUMENT}="),
        "--build-arg", Slot(name=tools, before=f"{TOOLS_ARGUMENT}="),
        "--build-arg", base,
        "--build-arg", f"METALLIZE_FSTAB={seal.fstab}",
        *_labels(),
        "--tag", Slot(name=SEALED, before=f"{SEALED_IMAGE}:"),
        str(seal.context),
    )  # fmt: skip
    return Step(
        id="seal",
        kind=Kind.SEAL,
        explain="fstab, the initrd, and what makes a container's rootfs an OS",
        argv=argv,
        inputs=(top, tools),
        output=SEALED_IMAGE,
        key=digest_of(seal.key, str(platform), seal.fstab),
    )


def hold_step(platform: Platform) -> Step:
    argv: tuple[Word, ...] = (
        DOCKER, "create",
        *_labels(),
        "--name", Slot(name=SEALED, before=f"{SEALED_CONTAINER}-"),
        "--network", "none",
        "--platform", str(platform),
        Slot(name=SEALED, before=f"{SEALED_IMAGE}:"),
        "/nothing",
    )  # fmt: skip
    return Step(
        id="hold",
        kind=Kind.HOLD,
        explain="a container of the sealed rootfs, which is never started",
        argv=argv,
        inputs=("seal",),
        output=SEALED_CONTAINER,
        key=key_of(argv),
    )


def export_step() -> Step:
    # A tar from BuildKit comes through the client's session, which takes twice as long.
    argv: tuple[Word, ...] = (DOCKER, "export", Slot(name=SEALED, before=f"{SEALED_CONTAINER}-"))
    return Step(
        id="export",
        kind=Kind.EXPORT,
        explain="the rootfs goes into a pipe as a tar",
        argv=argv,
        inputs=("hold",),
        output=rootfs_pipe.NAME,
        key=key_of(argv),
    )


_CONTAINER: tuple[Word, ...] = (
    DOCKER, "run", "--rm",
    *_labels(),
    *LIMITS,
    "--user", Slot(name=slots.USER),
    "--env", Slot(name=slots.EPOCH, before="SOURCE_DATE_EPOCH="),
    "--mount", Slot(name=MOUNTED, before='type=bind,target=/out,"source=', after='"'),
)  # fmt: skip
"""One of the tools' image that works on the image to be."""


def generate_step(plan: BuildPlan, tools: str) -> Step:
    job = json.dumps(plan.job.as_json(), sort_keys=True)
    argv: tuple[Word, ...] = (*_CONTAINER, Slot(name=tools), *rootfs_pipe.READER, GENERATOR, job)
    return Step(
        id="generate",
        kind=Kind.GENERATE,
        explain=f"generator {plan.job.generator} makes the image of the rootfs that comes through the pipe",
        argv=argv,
        inputs=(tools,),
        output="image",
        key=key_of(argv),
    )


def sign_step(plan: BuildPlan, signing: Signing, tools: str) -> Step:
    """Sign what the firmware starts; where the key is does not belong to the step's key, nor does what is in it."""
    enrolls = {"enroll": True} if signing.enrolls else {}
    job = {**plan.job.as_json(), "certificate": signing.certificate, **enrolls}
    program: tuple[Word, ...] = (Slot(name=tools), SIGNER)
    if isinstance(signing.key, Token):
        where, words = {"token": True}, _CONTAINER
        explain = "boot loader and kernel are signed for Secure Boot: first this tells what the token is to sign"
    else:
        source = str(signing.key.absolute()).replace('"', '""')
        where, words = {}, (*_CONTAINER, "--mount", f'type=bind,readonly,target={SIGNING_KEY},"source={source}"')
        explain = "boot loader and kernel are signed for Secure Boot, by a key that no other container sees"
    return Step(
        id="sign",
        kind=Kind.SIGN,
        explain=explain,
        argv=(*words, *program, json.dumps({**job, **where}, sort_keys=True)),
        inputs=(tools,),
        output="image",
        key=key_of((*_CONTAINER, *program, json.dumps(job, sort_keys=True))),
    )


def token_step(token: Token) -> Step:
    """Have a token sign; no image depends on which token that is."""
    argv: tuple[Word, ...] = (
        *signing_words(token.key),
        "--input-file", Slot(name=slots.DIGEST),
        "--output-file", Slot(name=slots.SIGNATURE),
    )  # fmt: skip
    return Step(
        id="token",
        kind=Kind.ASK,
        explain="the token signs each of these digests, and its PIN is in no command",
        argv=argv,
        inputs=("sign",),
        output="the signature",
        key=key_of(argv),
    )
