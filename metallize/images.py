"""What is done with an image that is there: it is verified, or booted for a person; built here or made by anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metallize import publish as publishing
from metallize.build.store import Store, Stored, write_json
from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.errors import UsageError, VerificationFailed
from metallize.events import Events
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot
from metallize.model.loaded import Profile
from metallize.model.report import BootReport
from metallize.pipeline import Options, requests_of
from metallize.publish import VerifiedImage
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification


def papers(profile: Profile, options: Options, sha256: str) -> Mapping[str, Any]:
    """The manifest of the profile's image with this digest, in its place or kept aside; empty where there is none."""
    return store_of(profile, options).papers(sha256)


def store_of(profile: Profile, options: Options) -> Store:
    """Where the profile's image is, or would be."""
    return Store(build_dir=options.build_dir or Path(profile.settings.build_dir), file=profile.output.file)


def _built_image(profile: Profile, options: Options) -> tuple[Store, Stored]:
    store = store_of(profile, options)
    stored = store.any()
    if stored is None:
        raise UsageError(
            f"there is no {store.image} that its manifest tells of", hint=f"metallize build {profile.path}"
        )
    return store, stored


def verify_built(profile: Profile, catalog: Catalog, events: Events, options: Options) -> tuple[BootReport, ...]:
    """Verify the image in the build folder and record the verdict beside it.

    Raises UsageError where there is no such image.
    """
    store, _ = _built_image(profile, options)
    with store.locked(events):
        _, stored = _built_image(profile, options)
        requests = requests_of(profile, catalog, stored, options, store.build_dir)
        reports = verification.run_all(requests, events)
        record = verification.record(stored.sha256, verification.identity(stored.sha256, requests), reports)
        everything = requests_of(profile, catalog, stored, replace(options, machines=()), store.build_dir)
        known = verification.passed_before(store, verification.identity(stored.sha256, everything))
        # What passed on some machines again takes nothing away from a record of all of them.
        if not (options.machines and record["verdict"] == "passed" and known):
            write_json(store.verification, record)
    return reports


def verified(profile: Profile, catalog: Catalog, options: Options) -> VerifiedImage:
    """The profile's image in the build folder, if its bytes passed all that the profile asks, on all of its machines.

    Raises VerificationFailed that says what is missing.
    """
    store = store_of(profile, options)
    image = publishing.verified_image(store)
    manifest = store.papers(image.sha256)
    if not manifest:
        raise VerificationFailed(
            f"{store.manifest} does not tell of {store.image}", hint=f"metallize build {profile.path}"
        )
    stored = Stored(path=image.path, manifest=manifest)
    everything = replace(options, machines=())
    requests = requests_of(profile, catalog, stored, everything, store.build_dir)
    verification.require_all_asked(store, image.sha256, requests)
    return image


def verify_image(
    image: Path,
    catalog: Catalog,
    events: Events,
    options: Options,
    *,
    boot: Boot,
    suites: Sequence[Path],
) -> tuple[BootReport, ...]:
    """Verify an image that anybody made, with the assertions of goss files."""
    assertions = [each for suite in suites for each in load_suite(suite, vocabulary=catalog.vocabulary())]
    return verification.run_all(requests_for_image(image, catalog, options, boot=boot, assertions=assertions), events)


def requests_for_image(
    image: Path, catalog: Catalog, options: Options, *, boot: Boot, assertions: Sequence[Assertion]
) -> tuple[VerifyRequest, ...]:
    """One request for each machine that is asked for. Raises UsageError for a machine or an image that is not there."""
    return tuple(
        verification.foreign_request(
            image,
            catalog,
            machine=machine,
            boot=boot,
            assertions=assertions,
            runs_dir=(options.build_dir or Path("build")) / "runs" / (image.stem or "image"),
            accel=options.accel,
            keep_running=options.keep_running,
            capture=options.capture,
        )
        for machine in options.machines or ("seabios",)
    )


def bootable(profile: Profile, catalog: Catalog, options: Options) -> VerifyRequest:
    """The profile's built image on its first machine (or --machine), to be booted for a person."""
    store, stored = _built_image(profile, options)
    return requests_of(profile, catalog, stored, options, store.build_dir)[0]
