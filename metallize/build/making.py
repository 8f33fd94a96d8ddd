"""One build: the images of its steps, and the disk image that comes of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from metallize.build import volumes
from metallize.build.currency import changes_since
from metallize.build.engines.engine import Assembly, Engine
from metallize.build.epoch import source_date_epoch
from metallize.build.generator import make_image
from metallize.build.packages.census import Census, Package, census, epoch_of, newest_of, snapshot
from metallize.build.packages.lock import require_locked
from metallize.build.plan import BuildPlan
from metallize.build.stacks import Images, build_images, leads_to, manifest_of, pin, staying
from metallize.build.step import DIGEST, DOCKER, EPOCH, SIGNATURE, USER, digest_of, filled
from metallize.build.steps import Steps
from metallize.build.steps.assembly import BUILDER, COMPARED, LABEL, MOUNTED, NOTHING, SEALED, SEALED_DIGITS
from metallize.build.store import Store, Stored
from metallize.build.twice.twice import Attempt, attempt, different
from metallize.errors import EngineError
from metallize.events import Events, Note, step
from metallize.host.token import Token


def asked_epoch() -> str | None:
    """SOURCE_DATE_EPOCH, or None where it is not set. Raises UsageError where it is no date."""
    epoch = source_date_epoch(os.environ)
    return None if epoch is None else str(epoch)


class _MovedError(EngineError):
    """A name of an image led to another one in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A plan, what runs its steps, and who is told."""

    plan: BuildPlan
    steps: Steps
    engine: Engine
    events: Events

    def images(self, *, fresh: bool = False, pull: bool = False) -> Images:
        """Build what is not there: see build_images."""
        return build_images(self.plan, self.steps, self.engine, self.events, fresh=fresh, pull=pull)

    def is_current(self, stored: Stored, images: Images) -> bool:
        """Whether an image is what the plan makes of these images."""
        try:
            newest = newest_of(stored.manifest)  # the same as long as the rootfs is, which the key holds to
        except ValueError:
            return False
        return not changes_since(stored.manifest, self.plan, self.steps, images.ids, epoch_of(asked_epoch(), newest))

    def packages(self, images: Images) -> tuple[Package, ...]:
        """The packages of the rootfs."""
        return self._census(images).packages

    def _census(self, images: Images) -> Census:
        references = {name: image.reference for name, image in images.made.items()}
        argv = filled(self.steps.look.argv, {**references, DOCKER.name: self.engine.command})
        return census(self.engine, argv, lambda lines: volumes.refusal(lines, self.plan.rootfs.layers))

    def image(self, images: Images, work: Path) -> Stored:
        """Run the generator and write down what came of it.

        Another build with --no-cache may give the names of these images to others meanwhile: then all is done again,
        by names that stay. Raises EngineError where they are gone by then.
        """
        try:
            return self._image(self._kept(images), work)
        except _MovedError as moved:
            self.events.emit(
                Note(text=f"{moved}; {self.plan.file} is made again, of the images that it is to be made of")
            )
            _empty(work)
            return self._image(self._kept(images, pinned=True), work)

    def _image(self, images: Images, work: Path) -> Stored:
        plan = self.plan
        with step(self.events, "packages", "packages") as counting:
            found = self._census(images)
            locked = require_locked(plan.profile, found.packages)
            counting.detail = f"{len(found.packages)}{f', as {locked.name} has them' if locked else ''}"
        epoch = epoch_of(asked_epoch(), found.newest)
        assembly = self._assembly(images, epoch, work, label=work.name)
        rootfs_bytes = images.made[self.steps.seal.inputs[0]].size_bytes
        with step(self.events, "image", f"image {plan.file}") as making:
            image = make_image(self.engine, assembly, plan.job.format, making.output, rootfs_bytes=rootfs_bytes)
            making.detail = f"{image.size_bytes / (1 << 20):.0f} MiB, sha256 {image.sha256[:12]}"
        self._require_stayed(images)
        archive = plan.rootfs.base.snapshot if plan.rootfs.base else ""
        told = {"package_snapshot": snapshot(found, locked.name if locked else None, archive or None)}
        return Stored(path=image.path, manifest={**manifest_of(plan, self.steps, images, image, epoch), **told})

    @property
    def _taken(self) -> tuple[str, ...]:
        """The steps whose images become the disk image."""
        return tuple(dict.fromkeys((*self.steps.seal.inputs, *self.steps.generate.inputs)))

    def _kept(self, images: Images, *, pinned: bool = False) -> Images:
        """The same images, those that are taken by references that lead to them; `pinned`: that nobody changes."""
        keep = pin if pinned else staying
        kept = {name: keep(self.engine, images.made[name]) for name in self._taken}
        return replace(images, made={**images.made, **kept})

    def _require_stayed(self, images: Images) -> None:
        """Raises EngineError where a reference that was taken led somewhere else in the end."""
        for name in self._taken:
            image = images.made[name]
            if not leads_to(self.engine, image.reference, image):
                raise _MovedError(
                    f"{image.reference} was built again while {self.plan.file} was made of it",
                    hint="a build with --no-cache, or `metallize prune`, is at work on the same layers: try again",
                )

    def _assembly(self, images: Images, epoch: int, work: Path, *, label: str) -> Assembly:
        """The commands that seal the rootfs, export it and make the image of it in a folder, with everything filled in.

        `label` is the name of the build's own folder, by which whoever finds that folder finds the container.
        """
        values = {
            **{name: image.reference for name, image in images.made.items()},
            DOCKER.name: self.engine.command,
            USER: self.engine.user,
            EPOCH: str(epoch),
            COMPARED: self._compared(images),
            LABEL: label,
            BUILDER: self.engine.builder,
            MOUNTED: str(work.absolute()).replace('"', '""'),
            SEALED: digest_of(str(work.absolute()))[:SEALED_DIGITS],
        }
        seal, hold, export, generate = (
            filled(each.argv, values)
            for each in (self.steps.seal, self.steps.hold, self.steps.export, self.steps.generate)
        )
        return Assembly(
            name=self.plan.job.name,
            seal=seal,
            hold=hold,
            export=export,
            generate=generate,
            sealed=values[SEALED],
            sign=filled(self.steps.sign.argv, values) if self.steps.sign is not None else (),
            token=self._ask_token if self.steps.token is not None else None,
            out=work,
            label=label,
        )

    def _ask_token(self, folder: Path) -> None:
        """Have the token sign each digest of a folder. Raises HostError where it does not."""
        if self.steps.token is None or self.plan.signing is None or not isinstance(self.plan.signing.key, Token):
            raise EngineError(f"nobody is there to sign {self.plan.file}", hint="see output.secure_boot")
        for digest in sorted(folder.glob(f"*.{DIGEST}")):
            places = {DIGEST: str(digest), SIGNATURE: str(digest.with_suffix(f".{SIGNATURE}"))}
            self.plan.signing.key.sign(filled(self.steps.token.argv, places))

    def _compared(self, images: Images) -> str:
        """What the seal tells by which files are no layer's."""
        ground = images.made.get(self.steps.ground)
        return NOTHING if ground is None or ground.triggers else ground.reference

    def require_same_again(self, images: Images, store: Store, stored: Stored) -> None:
        """Build a second time from nothing. Raises DifferentBytesError, with each file that differs, where it does."""
        first = self._attempt(images, stored)
        with store.workspace() as work:
            images = self.images(fresh=True)
            again = self.image(images, work)
            if again.sha256 != stored.sha256:
                raise different(self.plan, first, self._attempt(images, again))
        first.rootfs.unlink()
        self.events.emit(Note(text=f"two builds from nothing gave the same bytes: sha256 {stored.sha256}"))

    def _attempt(self, images: Images, stored: Stored) -> Attempt:
        """An image that has just been made, with the rootfs that went into it."""
        folder = stored.path.with_name("rootfs")
        folder.mkdir()
        epoch = int(stored.manifest["source_date_epoch"])
        with step(self.events, "rootfs", f"rootfs of {self.plan.file}, to compare") as keeping:
            assembly = self._assembly(self._kept(images), epoch, folder, label=stored.path.parent.name)
            return attempt(self.engine, assembly, stored, keeping.output)


def _empty(folder: Path) -> None:
    """Remove what is in a folder of ours, which stays."""
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
