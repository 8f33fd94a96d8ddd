"""What each verb does: read the profile, call the library, show what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from metallize import bases, pipeline, verification
from metallize import flash as flashing
from metallize import nightly as nightlies
from metallize import publish as publishing
from metallize.catalog import Catalog, host_platform, render_explain, render_list
from metallize.config import load_profiles, load_steps, profile_schema
from metallize.config.suggest import did_you_mean
from metallize.doctor import examine
from metallize.engines.docker import DockerEngine
from metallize.errors import (
    EngineError,
    ExitCode,
    Location,
    MetallizeError,
    Problem,
    ProfileError,
    UsageError,
    VerificationFailed,
)
from metallize.model.loaded import Profile
from metallize.model.plan import BaseImage
from metallize.model.profile import Boot, Login, Platform, Ssh
from metallize.model.report import BootReport
from metallize.plan_script import shell_script
from metallize.qemu.interactive import boot_interactive
from metallize.render import JsonLines, PlainLines, Renderer, choose
from metallize.report.as_json import report_to_json
from metallize.report.history import HistoryEntry
from metallize.report.text import report_lines
from metallize.store import Store


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


def _err(text: str) -> None:
    sys.stderr.write(text + "\n")


def show_error(exc: MetallizeError, *, as_json: bool) -> None:
    """What failed, where, and the next step: on standard error, and for --json as an event too."""
    if as_json:
        problems = [
            {"path": str(p.location.path), "line": p.location.line, "column": p.location.column, "message": p.message,
             "hint": p.hint}
            for p in (exc.problems if isinstance(exc, ProfileError) else ())
        ]  # fmt: skip
        content = {"event": "error", "message": exc.message, "hint": exc.hint, "exit": int(exc.exit_code)}
        JsonLines(sys.stdout).write({**content, "problems": problems} if problems else dict(content))
    if isinstance(exc, ProfileError):
        for problem in exc.problems:
            _err(f"{problem}")
        count = len(exc.problems)
        _err(f"error: {count} problem{'s' if count > 1 else ''}; nothing was built")
        return
    _err(f"error: {exc.message}")
    if exc.hint:
        _err(f"  next: {exc.hint}")


def _catalog(options: argparse.Namespace) -> Catalog:
    folder: Path | None = options.extensions_dir
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--extensions-dir {folder}: there is no such folder")
    return Catalog(extensions_dir=folder)


def _profile(options: argparse.Namespace, catalog: Catalog) -> Profile:
    """The one output that is meant: the only one, the one of --output, or else the first."""
    return _profiles(options, catalog)[0]


def _profiles(options: argparse.Namespace, catalog: Catalog) -> tuple[Profile, ...]:
    """The outputs of the profile that is named, a file or a shipped profile's name; those of --output alone."""
    path: Path = options.profile
    if not path.exists() and path.name == str(path) and path.suffix in {"", ".yaml"}:
        shipped = catalog.profiles.get(path.stem)
        if shipped is None:
            names = [*catalog.profiles, *(file.name for file in sorted(Path.cwd().glob("*.y*ml")))]
            place = Location(path=path, line=1, column=1)
            message = "there is no such file, and no shipped profile of that name"
            raise ProfileError([Problem(location=place, message=message, hint=did_you_mean(path.name, names))])
        path = shipped
    profiles = load_profiles(path, vocabulary=catalog.vocabulary(), overrides=_overrides(options))
    wanted: list[str] = getattr(options, "outputs", [])
    files = [profile.output.file for profile in profiles]
    for name in wanted:
        if name not in files:
            hint = did_you_mean(name, files) or f"it makes {', '.join(files)}"
            raise UsageError(f"--output {name}: {path} makes no such image", hint=hint)
    return tuple(profile for profile in profiles if not wanted or profile.output.file in wanted)


def _overrides(options: argparse.Namespace) -> dict[str, str]:
    pairs = {}
    for text in options.overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text}: it is KEY=VALUE", hint="for example --set args.hostname=web1")
        pairs[key] = value
    return pairs


def _pipeline_options(options: argparse.Namespace) -> pipeline.Options:
    folder: Path | None = options.build_dir
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"--build-dir {folder}: it is a file", hint="name a folder; it is made where there is none")
    return pipeline.Options(
        build_dir=options.build_dir,
        machines=tuple(getattr(options, "machines", ())),
        accel=getattr(options, "accel", "auto"),
        fresh=getattr(options, "no_cache", False),
        keep_running=getattr(options, "keep_running_on_failure", False),
        capture=getattr(options, "capture", False),
    )


@contextmanager
def _engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    try:
        yield engine
    finally:
        engine.close()


def build(options: argparse.Namespace) -> int:
    """`metallize build`: every output of the profile; one that fails its boots does not keep the next from its own."""
    catalog = _catalog(options)
    profiles = _profiles(options, catalog)
    settings = _pipeline_options(options)
    plans = [pipeline.prepare(profile, catalog, settings, verified=options.verify) for profile in profiles]
    renderer = choose(as_json=options.json, verbose=options.verbose)
    done: list[pipeline.Built] = []
    failures: list[VerificationFailed] = []
    with renderer, _engine() as engine:
        for prepared, profile in zip(plans, profiles, strict=True):
            try:
                done.append(
                    pipeline.build(prepared, profile, catalog, engine, renderer, settings, verified=options.verify)
                )
            except VerificationFailed as exc:
                failures.append(exc)
    shown = [*(built.reports for built in done), *(failure.reports for failure in failures)]
    reports = [report for some in shown for report in some if isinstance(report, BootReport)]
    _show_reports(reports, renderer)
    for built in done:
        if isinstance(renderer, JsonLines):
            renderer.write(
                {"event": "result", "image": str(built.image), "sha256": built.sha256, "built": built.built,
                 "verified": built.verified}
            )  # fmt: skip
        else:
            _out(str(built.image))
    if failures:
        raise failures[0] if len(failures) == 1 else verification.failed(reports)
    return ExitCode.DONE


def _show_reports(reports: Sequence[BootReport], renderer: Renderer) -> None:
    for report in reports:
        if isinstance(renderer, JsonLines):
            renderer.write({"event": "report", **report_to_json(report)})
        else:
            for line in report_lines(report):
                _err(line)


def plan(options: argparse.Namespace) -> int:
    """`metallize plan`: works without an engine, which then cannot say what is cached."""
    catalog = _catalog(options)
    settings = _pipeline_options(options)
    plans = [pipeline.plan_of(profile, catalog, settings) for profile in _profiles(options, catalog)]
    cached: dict[str, bool] | None
    try:
        with _engine() as engine:
            layers = [layer for each in plans for layer in (*each.rootfs.layers, *each.tools.layers)]
            cached = {layer.tag: engine.inspect(layer.tag) is not None for layer in layers}
    except EngineError:
        cached = None
    scripts = [shell_script(each, cached=cached) for each in plans]
    # Each in a shell of its own: they set traps and end with a status.
    sys.stdout.write(scripts[0] if len(scripts) == 1 else "set -e\n" + "".join(f"(\n{each})\n" for each in scripts))
    return ExitCode.DONE


def verify(options: argparse.Namespace) -> int:
    """`metallize verify PROFILE` or `metallize verify --image FILE`."""
    if (options.profile is None) == (options.image is None):
        raise UsageError("verify takes a PROFILE, or --image FILE", hint="metallize verify --help")
    catalog = _catalog(options)
    settings = _pipeline_options(options)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    if options.image is not None:
        boot = Boot(steps=load_steps(options.steps) if options.steps is not None else ())
        if options.user:
            login = Login(user=options.user, password=options.password or "")
            boot = boot.model_copy(update={"login": login, "ssh": Ssh(user=options.user, password=options.password)})
        with renderer:
            reports = pipeline.verify_image(
                options.image, catalog, renderer, settings, boot=boot, suites=options.assertions
            )
    else:
        if options.steps is not None:
            raise UsageError("--steps goes with --image", hint="in a profile they stand under boot.steps")
        profiles = _profiles(options, catalog)
        with renderer:
            each = [pipeline.verify_built(profile, catalog, renderer, settings) for profile in profiles]
        reports = tuple(report for some in each for report in some)
    _show_reports(reports, renderer)
    if not all(report.passed for report in reports):
        raise verification.failed(reports)
    return ExitCode.DONE


def boot(options: argparse.Namespace) -> int:
    """`metallize boot PROFILE or IMAGE`: the serial console on this terminal until the guest is switched off."""
    catalog = _catalog(options)
    settings = _pipeline_options(options)
    if options.target.suffix in {".yaml", ".yml"} or not options.target.exists():
        options.profile = options.target
        request = pipeline.bootable(_profile(options, catalog), catalog, settings)
    else:
        request = pipeline.requests_for_image(options.target, catalog, settings, boot=Boot(), assertions=())[0]
    verification.require_emulators([request.machine])
    status = boot_interactive(
        image=request.image,
        image_format=request.image_format,
        machine=request.machine,
        events=PlainLines(sys.stderr, verbose=options.verbose),
        boot=request.boot,
        overrides=request.overrides,
        accel=request.accel,
    )
    return ExitCode.DONE if status == 0 else ExitCode.MACHINERY


def nightly(options: argparse.Namespace) -> int:
    """`metallize nightly [PROFILES...]`: the status is 1 where an image failed, else 3 where one was not made."""
    catalog = _catalog(options)
    settings = _pipeline_options(options)
    paths = options.profiles or [Path(name) for name in catalog.profiles]
    candidates = [
        nightlies.Candidate(
            name=path.stem,
            load=partial(_profiles, argparse.Namespace(**{**vars(options), "profile": path}), catalog),
            named=bool(options.profiles),
        )
        for path in paths
    ]
    renderer = choose(as_json=options.json, verbose=options.verbose)

    def seen(entry: HistoryEntry, boot_report: BootReport | None) -> None:
        if isinstance(renderer, JsonLines):
            if boot_report is not None:
                renderer.write({"event": "report", **report_to_json(boot_report)})
            renderer.write({"event": "nightly", **asdict(entry)})
        elif boot_report is not None and not boot_report.passed:
            _show_reports([boot_report], renderer)

    with renderer, _engine() as engine:
        entries = nightlies.run_nightly(candidates, catalog, engine, renderer, settings, seen=seen)
    status = nightlies.status_of(entries)
    _show_page(nightlies.page_path(settings), renderer, status=int(status))
    return status


def report(options: argparse.Namespace) -> int:
    """`metallize report`: the nightlies' history as a page."""
    page = nightlies.write_page(nightlies.page_path(_pipeline_options(options)).parent)
    _show_page(page, choose(as_json=options.json, verbose=options.verbose), status=int(ExitCode.DONE))
    return ExitCode.DONE


def _show_page(page: Path, renderer: Renderer, *, status: int) -> None:
    if isinstance(renderer, JsonLines):
        renderer.write({"event": "result", "report": str(page), "exit": status})
    else:
        _out(str(page))


def publish(options: argparse.Namespace) -> int:
    """`metallize publish`: every output, and none of them where one is not verified."""
    catalog = _catalog(options)
    settings = _pipeline_options(options)
    stores = [
        Store(build_dir=settings.build_dir or Path(profile.settings.build_dir), file=profile.output.file)
        for profile in _profiles(options, catalog)
    ]
    for verified in [publishing.verified_image(store) for store in stores]:
        copies = publishing.publish(verified, options.to)
        if options.json:
            files = [str(path) for path in copies]
            JsonLines(sys.stdout).write({"event": "result", "sha256": verified.sha256, "files": files})
            continue
        for path in copies:
            _out(str(path))
    return ExitCode.DONE


def flash(options: argparse.Namespace) -> int:
    """`metallize flash [IMAGE [DEVICE]]`: write and read back, or list what could be written to."""
    if options.device is None:
        return _list_disks(options)
    device = flashing.is_device(options.device)
    renderer = choose(as_json=options.json, verbose=options.verbose)
    if device:
        flashing.require_allowed(options.device, 0, any_disk=options.any_disk)
        if not options.yes:
            _confirm(options.device)
    with renderer:
        renderer.emit(publishing.standing(options.image))
        done = flashing.flash(options.image, options.device, renderer, any_disk=options.any_disk)
    if isinstance(renderer, JsonLines):
        renderer.write(
            {"event": "result", "target": str(done.target), "size": done.size_bytes, "written": done.written_bytes,
             "sha256": done.sha256}
        )  # fmt: skip
    else:
        _out(f"{done.target} holds {options.image}")
    return ExitCode.DONE


def _list_disks(options: argparse.Namespace) -> int:
    found = [disk for disk in flashing.disks() if disk.removable and not disk.uses]
    for disk in found:
        if options.json:
            content = {"device": str(disk.path), "size": disk.size_bytes, "model": disk.model}
            JsonLines(sys.stdout).write({"event": "disk", **content})
        else:
            _out(str(disk))
    if options.image is not None:
        raise UsageError(f"where to write {options.image}?", hint="metallize flash IMAGE DEVICE")
    if not found:
        _err("no removable disk that is not in use")
    return ExitCode.DONE


def _confirm(device: Path) -> None:
    disk = next((each for each in flashing.disks() if each.path == device.resolve()), device)
    if not sys.stdin.isatty():
        raise UsageError(f"everything on {disk} would be lost", hint="add --yes if that is meant")
    sys.stderr.write(f"Everything on {disk} will be lost. Type {device} to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != str(device):
        raise UsageError("that was not its name; nothing was written")


def list_all(options: argparse.Namespace) -> int:
    """`metallize list`."""
    _out(render_list(_catalog(options)))
    return ExitCode.DONE


def explain(options: argparse.Namespace) -> int:
    """`metallize explain NAME`."""
    _out(render_explain(_catalog(options), options.name))
    return ExitCode.DONE


def schema(options: argparse.Namespace) -> int:
    """`metallize schema`."""
    _out(json.dumps(profile_schema(_catalog(options).vocabulary()), indent=2))
    return ExitCode.DONE


def doctor(options: argparse.Namespace) -> int:
    """`metallize doctor`: status 3 where something that builds or boots need is missing."""
    findings = examine()
    if options.json:
        for finding in findings:
            JsonLines(sys.stdout).write({"event": "finding", **finding.as_json()})
    else:
        for finding in findings:
            _out(finding.line())
    return ExitCode.DONE if all(finding.fine or not finding.needed for finding in findings) else ExitCode.MACHINERY


def base(options: argparse.Namespace) -> int:
    """`metallize base REFERENCE`."""
    platform = Platform(options.platform) if options.platform else host_platform()
    renderer = choose(as_json=options.json, verbose=options.verbose)
    with renderer, _engine() as engine:
        made = bases.bootstrap(engine, BaseImage(reference=options.reference, platform=platform), renderer)
    if not options.json:
        _out(f"{made.image.reference} ({made.image.size_bytes >> 20} MiB) stands in for {options.reference}")
    return ExitCode.DONE
