"""The machine that boot.update asks for: the old image with power, and where it finds what it is updated by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from metallize.errors import HostError, UsageError
from metallize.files.image_format import format_of
from metallize.files.parts import Part, parts_of
from metallize.model.profile import ARCHITECTURES
from metallize.model.update import Engine, Update
from metallize.serve import Files, opened, opened_parts
from metallize.verify.phases import update
from metallize.verify.prepared import PreparedBoot, prepared_boot
from metallize.verify.request import VerifyRequest

SUMS = "SHA256SUMS"


def require_update(request: VerifyRequest) -> None:
    """See that there is what an update needs, before anything is booted. Raises UsageError."""
    wanted = request.boot.update
    if wanted is None or request.refusal is not None:
        return
    if not Path(wanted.before).is_file():
        raise UsageError(
            f"boot.update.from: there is no image {wanted.before}",
            hint="it is the image of the release before: keep it, or build it from the state of its release",
        )
    if wanted.files is not None and not Path(wanted.files).is_dir():
        raise UsageError(f"boot.update.files: there is no folder {wanted.files}")
    if wanted.engine is Engine.SYSUPDATE and wanted.files is None and not named_parts(request.manifest, request.image):
        raise UsageError(
            f"boot.update.engine: {request.image.name} has no parts that systemd-sysupdate installs",
            hint="generator `ab` makes an image that has; of another say `files`, or `install`",
        )


@contextmanager
def old_machine(boot: PreparedBoot) -> Iterator[tuple[PreparedBoot, str]]:
    """The release before, ready to be switched on, and the URL of what it is updated by; of nothing an empty one.

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
        ready = stack.enter_context(
            prepared_boot(old, boot.accelerator, on_stage=boot.on_stage, one_thread=boot.plan.one_thread, folder=folder)
        )
        files = _files(stack, request, wanted, folder)
        yield (ready, "") if files is None else stack.enter_context(ready.serving(files))


def _files(stack: ExitStack, request: VerifyRequest, wanted: Update, folder: Path) -> Files | None:
    if wanted.files is not None:
        return stack.enter_context(opened(Path(wanted.files), bootable=False))
    parts = named_parts(request.manifest, request.image)
    if not parts:
        return None
    sums = folder / SUMS
    sums.write_text("".join(f"{part.sha256}  {name}\n" for name, part in parts.items()), encoding="ascii")
    places = {name: (part.offset, part.size_bytes) for name, part in parts.items()}
    return stack.enter_context(opened_parts(request.image, places, {SUMS: sums}))


def named_parts(manifest: Mapping[str, Any], image: Path) -> dict[str, Part]:
    """The parts of an image by the names that they have in its release. Raises HostError for a damaged manifest."""
    parts = parts_of(manifest, image)
    told = manifest.get("release")
    if not parts:
        return {}
    try:
        whole = f"{told['name']}_{told['version']}_{ARCHITECTURES[manifest['platform']]}"  # type: ignore[index]
    except (LookupError, TypeError) as exc:
        raise HostError(
            f"the manifest of {image} does not tell what it is a release of", hint="build it again"
        ) from exc
    return {f"{whole}{part.suffix}": part for part in parts}
