"""The machine that boot.update asks for: the old image with power, and where it finds what it is updated by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from metallize.build.generator import sha256_of
from metallize.errors import HostError, UsageError
from metallize.files.image_format import format_of
from metallize.files.json_file import as_mapping
from metallize.files.openpgp import Signer
from metallize.files.parts import Part, parts_of
from metallize.files.vanishing import vanishing_folder
from metallize.model.profile import ARCHITECTURES
from metallize.model.update import Engine, Tamper, Update
from metallize.serve import Files, opened, opened_parts
from metallize.verify.broken import (
    break_release,
    broken_version,
    kernel_digest,
    older_version,
    require_parts,
    tampered_version,
    version_before,
)
from metallize.verify.phases import update
from metallize.verify.phases.rollback import Offered
from metallize.verify.phases.update import Offers
from metallize.verify.prepared import PreparedBoot, prepared_boot
from metallize.verify.refusing import index
from metallize.verify.request import VerifyRequest

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.gpg"
BUNDLE = ".raucb"


def require_update(request: VerifyRequest) -> None:
    """See that there is what an update needs, before anything is booted. Raises UsageError."""
    wanted = request.boot.update
    if wanted is None or request.refusal is not None:
        return
    if not Path(wanted.before).is_file():
        raise UsageError(
            f"boot.update.from: there is no image {wanted.before}",
            hint="it is the image of the release before, or the folder or the address of a channel that has it",
        )
    if wanted.files is not None and not Path(wanted.files).is_dir():
        raise UsageError(f"boot.update.files: there is no folder {wanted.files}")
    if wanted.engine is Engine.RAUC:
        bundle_of(wanted)
    if wanted.engine is Engine.SYSUPDATE and wanted.files is None:
        parts = named_parts(request.manifest, request.image)
        if not parts:
            raise UsageError(
                f"boot.update.engine: {request.image.name} has no parts that systemd-sysupdate installs",
                hint="generator `ab` makes an image that has; of another say `files`, or `install`",
            )
        if wanted.broken:
            require_parts(parts, request.image, wanted.broken)
            _require_keys(request)
        _version_before(request, wanted)


def _require_keys(request: VerifyRequest) -> None:
    """Raises UsageError for firmware that starts what is signed alone, and is given no keys that we write."""
    if request.machine.secure_boot and not request.overrides.keys:
        raise UsageError(
            f"boot.update.broken: machine `{request.machine_entry}` starts what its firmware's own keys have signed, "
            "and nobody signs a broken release",
            hint="give it `keys` (boot.machines): their firmware is told of the digests of these, too",
        )


@contextmanager
def old_machine(boot: PreparedBoot) -> Iterator[tuple[PreparedBoot, Offers]]:
    """The release before, ready to be switched on, and what it is offered at which URL; nothing has an empty one.

    Raises as `prepared_boot` does.
    """
    request = boot.request
    wanted = request.boot.update
    if wanted is None:
        raise AssertionError("no update is asked for")
    image, folder = Path(wanted.before), boot.folder / update.FOLDER
    folder.mkdir(exist_ok=True)
    old = replace(request, image=image, image_format=format_of(image), groups=(), published=None)
    with ExitStack() as stack:
        before = _version_before(request, wanted)
        signer = Signer.make("metallize") if Tamper.INDEX in wanted.tamper else None
        files, kernels = _files(stack, request, wanted, folder, before, signer)
        ready = stack.enter_context(
            prepared_boot(
                old,
                boot.accelerator,
                on_stage=boot.on_stage,
                one_thread=boot.plan.one_thread,
                folder=folder,
                logs_writes=wanted.power_cuts is not None,
                started_unsigned=kernels,
            )
        )
        if files is None:
            yield ready, Offers()
            return
        served, url = stack.enter_context(ready.serving(files))
        place = f"{url}/{quote(bundle_of(wanted))}" if wanted.engine is Engine.RAUC else url
        yield served, offers_of(request, wanted, place, before, signer)


def bundle_of(wanted: Update) -> str:
    """The name of the bundle that RAUC installs, the one in the folder. Raises UsageError where there is not one."""
    found = sorted(each.name for each in Path(wanted.files or "").glob(f"*{BUNDLE}") if each.is_file())
    if len(found) != 1:
        raise UsageError(
            f"boot.update.files: {wanted.files} has {'the bundles ' + ', '.join(found) if found else 'no bundle'}",
            hint=f"`engine: rauc` installs the one file there whose name ends with {BUNDLE}",
        )
    return found[0]


def _version_before(request: VerifyRequest, wanted: Update) -> str:
    """The version that is updated, where something goes by it. Raises UsageError where its image has none."""
    if not (wanted.broken or wanted.tamper):
        return ""
    told = as_mapping(request.manifest.get("release", {}))
    return version_before(Path(wanted.before), str(told.get("name", "")))


def offers_of(request: VerifyRequest, wanted: Update, url: str, before: str, signer: Signer | None = None) -> Offers:
    """What is offered at our URL: the new image at its root, what is made of it in folders; pure.

    `before` is the version that is updated, `signer` whoever signs what is tampered with then.
    """
    told = as_mapping(request.manifest.get("release", {}))
    version = str(told.get("version", ""))
    broken = tuple(
        Offered(broken=each, version=broken_version(before, number, each), url=f"{url}/{each}")
        for number, each in enumerate(wanted.broken, start=1)
    )
    older = f"{url}/{Tamper.DOWNGRADE}" if Tamper.DOWNGRADE in wanted.tamper else ""
    label = f"{told.get('name', '')}_{version}"
    return Offers(
        url=url,
        broken=broken,
        older=older,
        index=index.Offer(url=url, keyring=signer.keyring) if signer is not None else None,
        label=label,
        parts=parts_of(request.manifest, request.image),
    )


def _files(
    stack: ExitStack, request: VerifyRequest, wanted: Update, folder: Path, before: str, signer: Signer | None
) -> tuple[Files | None, tuple[str, ...]]:
    """What the guest finds, and of a machine that asks for signatures the digests of the kernels in it that have none.

    That is a folder of somebody's, or the image's parts; None for no parts.
    """
    image, manifest = request.image, request.manifest
    if wanted.files is not None:
        return stack.enter_context(opened(Path(wanted.files), bootable=False)), ()
    parts = named_parts(manifest, image)
    if not parts:
        return None, ()
    made = stack.enter_context(vanishing_folder(folder, ".offered-", kin="../*/"))
    offers = offers_of(request, wanted, "", before)
    releases: list[tuple[str, dict[str, Part], dict[str, Path]]] = [("", parts, {})]
    for each in offers.broken:
        changed = break_release(image, parts, each.broken, each.version, made)
        releases.append((each.url, named_parts(manifest, image, each.version), changed))
    if offers.older:
        releases.append((offers.older, named_parts(manifest, image, older_version(before)), {}))
    places: dict[str, tuple[int, int]] = {}
    beside: dict[str, Path] = {}
    for number, (place, named, changed) in enumerate(releases):
        prefix = f"{place}/".lstrip("/")
        lines = []
        for name, part in named.items():
            path = changed.get(part.suffix)
            if path is None:
                places[prefix + name] = part.offset, part.size_bytes
            else:
                beside[prefix + name] = path
            lines.append(f"{part.sha256 if path is None else sha256_of(path)}  {name}\n")
        sums = beside[prefix + SUMS] = made / f"{SUMS}.{number}"
        sums.write_text("".join(lines), encoding="ascii")
    if signer is not None:
        tampered = named_parts(manifest, image, tampered_version(before))
        for number, (place, pointers) in enumerate(tampered_pointers(tampered, parts, signer).items()):
            places |= {f"{place}/{name}": (part.offset, part.size_bytes) for name, part in tampered.items()}
            beside |= _written(pointers, place, made / f"tampered-{number}")
    return stack.enter_context(opened_parts(image, places, beside)), _unsigned(request, releases)


def _unsigned(
    request: VerifyRequest, releases: Sequence[tuple[str, Mapping[str, Part], Mapping[str, Path]]]
) -> tuple[str, ...]:
    """The digests of the kernels that were changed, of a machine that asks for signatures."""
    if not request.machine.secure_boot:
        return ()
    return tuple(kernel_digest(changed) for _, _, changed in releases if changed)


def _written(pointers: Mapping[str, bytes], place: str, folder: Path) -> dict[str, Path]:
    """Files of a new folder, by where the guest finds them."""
    folder.mkdir()
    for name, content in pointers.items():
        (folder / name).write_bytes(content)
    return {f"{place}/{name}": folder / name for name in pointers}


def tampered_pointers(
    named: Mapping[str, Part], signed: Mapping[str, Part], signer: Signer
) -> dict[str, dict[str, bytes]]:
    """What stands beside the files of each place that `metallize.verify.refusing.index` names; pure but for the key.

    `named` are the parts as they are offered, `signed` those of the release whose index somebody has changed.
    """
    lines = [f"{part.sha256}  {name}\n" for name, part in named.items()]
    whole = "".join(lines).encode("ascii")
    other = "".join(f"{part.sha256}  {name}\n" for name, part in signed.items()).encode("ascii")
    *kept, last = lines
    mixed = "".join([*kept, ("1" if last[0] == "0" else "0") + last[1:]]).encode("ascii")
    return {
        index.WHOLE: {SUMS: whole, SIGNATURE: signer.signature(whole)},
        index.CHANGED: {SUMS: whole, SIGNATURE: signer.signature(other)},
        index.MIXED: {SUMS: mixed},
    }


def named_parts(manifest: Mapping[str, Any], image: Path, version: str = "") -> dict[str, Part]:
    """The parts of an image by the names that they have in its release, or in one that is called by another version.

    Raises HostError for a damaged manifest.
    """
    parts = parts_of(manifest, image)
    told = manifest.get("release")
    if not parts:
        return {}
    try:
        whole = f"{told['name']}_{version or told['version']}_{ARCHITECTURES[manifest['platform']]}"  # type: ignore[index]  # below
    except (LookupError, TypeError) as exc:
        raise HostError(
            f"the manifest of {image} does not tell what it is a release of", hint="build it again"
        ) from exc
    return {f"{whole}{part.suffix}": part for part in parts}
