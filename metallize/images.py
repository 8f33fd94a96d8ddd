"""What is done with an image that is there: it is verified, or booted for a person; built here or made by anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from metallize import pipeline
from metallize import publish as publishing
from metallize.build.currency import changes_since
from metallize.build.steps import steps_of
from metallize.build.store import Store, Stored
from metallize.catalog import Catalog
from metallize.config import load_suite
from metallize.errors import UsageError, VerificationFailed
from metallize.events import Events, Level, Note
from metallize.files.json_file import read_mapping
from metallize.model.assertion import Assertion
from metallize.model.boot import Boot
from metallize.model.loaded import Profile
from metallize.model.profile import ImageFormat
from metallize.model.report import BootReport
from metallize.pipeline import Options, command_for, machines_of, requests_of, required_of
from metallize.proof import Proof
from metallize.publish import VerifiedImage
from metallize.release.fetching import with_release_before
from metallize.verify import VerifyRequest
from metallize.verify import requests as verification


def papers(profile: Profile, options: Options, sha256: str) -> Mapping[str, Any]:
    """The manifest of the profile's image with this digest, in its place or kept aside; empty where there is none."""
    return store_of(profile, options).papers(sha256)


def store_of(profile: Profile, options: Options) -> Store:
    """Where the profile's image is, or would be."""
    return Store(build_dir=options.build_dir or Path(profile.settings.build_dir), file=profile.output.file)


def updatable(profile: Profile, events: Events, options: Options) -> Profile:
    """The profile with the image of the release before at hand, where `boot.update` asks for it.

    Raises as `with_release_before` does.
    """
    return with_release_before(profile, store_of(profile, options).build_dir, events)


def _built_image(profile: Profile, options: Options) -> tuple[Store, Stored]:
    store = store_of(profile, options)
    stored = store.any()
    if stored is None:
        raise UsageError(
            f"there is no {store.image} that its manifest tells of",
            hint=command_for(profile, options, "build", *(["--verify"] if store.kept() else [])),
        )
    return store, stored


def verify_built(profile: Profile, catalog: Catalog, events: Events, options: Options) -> tuple[BootReport, ...]:
    """Verify the image in the build folder and record the verdict beside it.

    What it shows on some machines adds to what is known of the others. Raises UsageError where there is no such image.
    """
    store, _ = _built_image(profile, options)
    profile = updatable(profile, events, options)
    plan = pipeline.plan_of(profile, catalog, options)
    with store.shared(events):
        _, stored = _built_image(profile, options)
        changes = changes_since(stored.manifest, plan, steps_of(plan), {})
        if changes:
            build = command_for(profile, options, "build", "--verify")
            told = f"{store.image} is not what {profile.path} makes now ({changes}), and stays not verified for that"
            events.emit(Note(text=f"{told}; next: {build}", level=Level.WARNING))
        requests = requests_of(profile, catalog, stored, options, store.build_dir)
        reports = verification.run_all(requests, events)
        with store.recording():
            stored.require_untouched()
            recorded = record(profile, catalog, stored, options, requests, reports)
        required = required_of(profile, catalog, stored, options, store.build_dir)
        if all(report.passed for report in reports) and not recorded.covers(stored.sha256, required):
            why = pipeline.not_yet(recorded, stored, profile, options, required)
            events.emit(Note(text=why, level=Level.WARNING))
    return reports


def diagnose(profile: Profile, catalog: Catalog, events: Events, options: Options, sha256: str) -> BootReport:
    """Boot an image that has failed once more, on the one machine of the options; nothing is recorded of it.

    Raises UsageError where the image with this digest is in its place no longer, nor kept aside.
    """
    store = store_of(profile, options)
    with store.shared(events):
        stored = next((each for each in (store.any(), store.kept()) if each and each.sha256 == sha256), None)
        if stored is None:
            raise UsageError(f"the {store.file} that failed is not there any more", hint="has somebody built it anew?")
        return boot_stored(profile, catalog, events, options, stored)


def boot_stored(
    profile: Profile, catalog: Catalog, events: Events, options: Options, stored: Stored, clock: str | None = None
) -> BootReport:
    """Boot an image, wherever it is, on the one machine of the options; nothing is recorded of it.

    The guest's `clock` is as a report says it, or as fits the host. Raises HostError where it was written to meanwhile.
    """
    build_dir = store_of(profile, options).build_dir
    requests = requests_of(profile, catalog, stored, options, build_dir)
    [report] = verification.run_all([replace(each, clock=clock) for each in requests], events)
    stored.require_untouched()
    return report


def record(
    profile: Profile,
    catalog: Catalog,
    stored: Stored,
    options: Options,
    requests: Sequence[VerifyRequest],
    reports: Sequence[BootReport],
) -> Proof:
    """Write down what boots of an image in the build folder showed. For whoever holds the store's lock, or records."""
    required = required_of(profile, catalog, stored, options, stored.path.parent)
    known = Proof.load(stored.path).of(stored.sha256).with_boots(stored.sha256, requests, reports)
    plan = str(stored.manifest.get("plan", ""))
    return known.asking(required, plan=plan, profile=str(profile.path)).save(stored.path)


def settle(
    profile: Profile, catalog: Catalog, events: Events, options: Options, booted: Stored, report: BootReport
) -> bool:
    """Write down what a boot showed of an image that `pipeline.make` left aside, on the one machine of the options.

    It is put in its place once it is verified. False where it was built anew meanwhile: nothing is written down then.
    """
    store = store_of(profile, options)
    with store.locked(events):
        stored = next((each for each in (store.any(), store.kept()) if each and each.sha256 == booted.sha256), None)
        if stored is None:
            return False
        requests = requests_of(profile, catalog, stored, options, store.build_dir)
        required = required_of(profile, catalog, stored, options, store.build_dir)
        proof = pipeline.known_of(store, stored.sha256).with_boots(stored.sha256, requests, (report,))
        proof = proof.asking(required, plan=str(stored.manifest.get("plan", "")), profile=str(profile.path))
        if report.passed and proof.covers(stored.sha256, required):
            pipeline.place(store, stored, proof)
        else:
            proof.save(stored.path)
        return True


def verified(profile: Profile, catalog: Catalog, options: Options) -> VerifiedImage:
    """The profile's image in the build folder, if its bytes passed all that the profile asks, on all of its machines.

    Raises VerificationFailed that says what is missing, or what the image was made of that the profile has no longer.
    """
    store = store_of(profile, options)
    build = command_for(profile, options, "build", "--verify")
    _require_placed(profile, catalog, options)
    stored = Stored(path=store.image, manifest=_manifest_of(store, build))
    required = required_of(profile, catalog, stored, options, store.build_dir)
    hint = command_for(profile, options, "verify", *machines_of(Proof.load(store.image).missing(required), required))
    image = publishing.verified_image(store, required, hint=hint)
    if image.sha256 != stored.sha256:
        raise VerificationFailed(f"{store.manifest} does not tell of {store.image}", hint=build)
    plan = pipeline.plan_of(profile, catalog, options)
    changes = changes_since(stored.manifest, plan, steps_of(plan), {})
    if changes:
        raise VerificationFailed(f"{store.image} is not what {profile.path} makes now: {changes}", hint=build)
    return image


def _require_placed(profile: Profile, catalog: Catalog, options: Options) -> None:
    """Raises VerificationFailed where there is no image in its place, with what is known of one that is kept aside."""
    store = store_of(profile, options)
    build = command_for(profile, options, "build", "--verify")
    if store.image.is_file():
        return
    kept = store.kept()
    if kept is None:
        raise VerificationFailed(f"there is no {store.image}", hint=build)
    required = required_of(profile, catalog, kept, options, store.build_dir)
    why = "; ".join(Proof.load(kept.path).objections(Path(store.file), kept.sha256, required))
    raise VerificationFailed(f"there is no {store.image}, and {kept.path} is kept aside: {why}", hint=build)


def _manifest_of(store: Store, build: str) -> Mapping[str, Any]:
    """Raises VerificationFailed where the image's manifest is none."""
    try:
        manifest = read_mapping(store.manifest)
        ImageFormat(manifest["format"])
        str(manifest["sha256"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise VerificationFailed(f"{store.manifest} does not tell of {store.image}", hint=build) from exc
    return manifest


def publish(
    profiles: Sequence[Profile],
    catalog: Catalog,
    events: Events,
    options: Options,
    destination: Path,
    *,
    require: Callable[[Sequence[VerifiedImage]], object] = lambda _images: None,
) -> tuple[tuple[VerifiedImage, tuple[Path, ...]], ...]:
    """Copy every image of the profiles, and none of them where one is not verified, or `require` refuses it.

    Raises VerificationFailed.
    """
    with all_verified(profiles, catalog, events, options) as images:
        require(images)
        return tuple((image, publishing.publish(image, destination)) for image in images)


@contextmanager
def all_verified(
    profiles: Sequence[Profile], catalog: Catalog, events: Events, options: Options
) -> Iterator[tuple[VerifiedImage, ...]]:
    """Every image of the profiles, while nobody builds one of them. Raises VerificationFailed as `verified` does."""
    profiles = tuple(updatable(profile, events, options) for profile in profiles)
    for profile in profiles:  # before the locks, which make the build folder
        _require_placed(profile, catalog, options)
    stores = {store.file: store for store in (store_of(profile, options) for profile in profiles)}
    with ExitStack() as locks:
        for _, store in sorted(stores.items()):
            locks.enter_context(store.locked(events))
        yield tuple(verified(profile, catalog, options) for profile in profiles)


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
