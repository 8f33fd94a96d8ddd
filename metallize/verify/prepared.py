"""A request made ready to be switched on: its plan, its run folder and its disk, for one boot or for several.

with prepared_boot(request, accelerator) as boot, boot.switched_on() as guest:
    session = boot.session(guest)
    run_boot(session)               # everything that the profile asks, settled in session.checklist
    shell = session.best_shell()    # logged in, for whoever wants more
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.deadline import Deadline
from metallize.errors import HostError
from metallize.guest import ShellError
from metallize.model.boot import ConsoleRules, TimeBudgets
from metallize.model.report import AcceleratorUse, StageTime
from metallize.qemu import netboot
from metallize.qemu.argv import GuestPlan
from metallize.qemu.descriptors import nameless_file
from metallize.qemu.plan import make_plan
from metallize.qemu.vm import RunningGuest, make_run_folder, prepared_files, running_guest
from metallize.serve import Files
from metallize.shells.ssh import EPHEMERAL, SshAccess, key_credentials, public_key, ssh_access
from metallize.verify.boot import plan_boot
from metallize.verify.checklist import FIRST, Checklist, Turn
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBoot:
    """What stays the same from one boot of the same disk to the next."""

    request: VerifyRequest
    accelerator: AcceleratorUse
    access: SshAccess | None
    plan: GuestPlan
    folder: Path
    on_stage: Callable[[StageTime], None]

    @property
    def slowness(self) -> float:
        return self.accelerator.slowness

    @property
    def limit_seconds(self) -> float:
        """How long the guest may take until it is ready, on this host."""
        limit = self.request.overrides.timeout or self.request.boot.timeout
        return limit.total_seconds() * self.slowness

    @contextmanager
    def switched_on(self, part: str = "") -> Iterator[RunningGuest]:
        """The machine with power, until the body is left; a later boot's files go to a `part` of the run folder.

        Raises HostError or CommandError when QEMU does not start.
        """
        folder = self.folder / part
        folder.mkdir(exist_ok=True)
        watch = BootWatch(
            Scanner(self.request.boot.console),
            console_name=self.plan.console,
            slowness=self.slowness,
            timeout=self.limit_seconds / self.slowness,
            emulated=self.accelerator.name == "tcg",
            on_stage=self.on_stage,
        )
        plan = self.plan
        if self.request.capture or self.request.boot.capture:
            plan = replace(plan, capture=(folder / "net.pcap").absolute())
        with running_guest(plan, folder, watch) as guest:
            yield guest

    def unlogged(self) -> PreparedBoot:
        """The same, but that nobody writes down what the guest writes to its disk."""
        return replace(self, plan=replace(self.plan, logs_writes=False, write_log=None))

    def bare(self) -> PreparedBoot:
        """The same boot with nothing asked of it but that it comes up."""
        boot = self.request.boot.model_copy(
            update={
                "reach": {},
                "time": TimeBudgets(),
                "console": self._allowed(),
                "actions": (),
                "settle": timedelta(),
            }
        )
        return replace(self, request=replace(self.request, boot=boot, assertions=(), groups=()))

    def _allowed(self) -> ConsoleRules:
        return ConsoleRules(allow=self.request.boot.console.allow)

    @contextmanager
    def serving(self, files: Files) -> Iterator[tuple[PreparedBoot, str]]:
        """The same boot of a guest that finds the files over HTTP, and the URL by which it does."""
        internet = self.plan.internet
        with netboot.files_server(files, self.folder / netboot.LOG_NAME) as web:
            bridge = "" if internet else netboot.bridge_command(web.http.port)
            url = netboot.url_for(web.http.port, internet=internet)
            yield replace(self, plan=replace(self.plan, web=web, bridge=bridge)), url

    @contextmanager
    def with_fresh_disk(self) -> Iterator[PreparedBoot]:
        """The same boot of a disk that nobody has written to yet."""
        plan = self.unlogged().plan
        plan = replace(plan, overlay=None, firmware_variables=None, state=None, tpm_state=None, descriptors=())
        with prepared_files(plan, self.folder) as ready:
            yield replace(self, plan=ready)

    @contextmanager
    def with_another_tpm(self) -> Iterator[PreparedBoot]:
        """The same disk in a machine whose TPM is a new one."""
        with ExitStack() as stack:
            yield replace(self, plan=replace(self.plan, tpm_state=nameless_file(stack, self.folder)))

    def session(self, guest: RunningGuest, turn: Turn = FIRST, checklist: Checklist | None = None) -> BootSession:
        """A session that has its whole time from now on; with no checklist, one of this boot alone."""
        return BootSession(
            request=self.request,
            guest=guest,
            deadline=Deadline.after(self.limit_seconds, f"the guest to be ready{turn.suffix}"),
            access=self.access,
            turn=turn,
            checklist=Checklist(plan_boot(self.request, turn)) if checklist is None else checklist,
        )


@contextmanager
def prepared_boot(
    request: VerifyRequest,
    accelerator: AcceleratorUse,
    *,
    on_stage: Callable[[StageTime], None] = lambda _: None,
    one_thread: bool = False,
    folder: Path | None = None,
    logs_writes: bool = False,
    started_unsigned: tuple[str, ...] = (),
) -> Iterator[PreparedBoot]:
    """Everything that a boot needs but its power; the disk is gone on leaving, the run folder stays.

    `folder` is of another machine's run, of which this one is a part; with `logs_writes` all that the guest writes to
    its disk is written down, whatever the profile says. `started_unsigned` are digests of what firmware with keys of
    one's own starts beside what they have signed.

    Raises HostError or CommandError when the image or its firmware is missing, or a key cannot be read.
    """
    boot = request.boot
    try:
        access = ssh_access(boot.ssh) if boot.ssh is not None else None
    except ShellError as exc:
        raise HostError(str(exc)) from exc
    plan = make_plan(
        image=request.image,
        image_format=request.image_format,
        machine=request.machine,
        boot=boot,
        overrides=request.overrides,
        accelerator=accelerator,
        clock=request.clock,
        credentials=key_credentials(access) if access is not None and boot.ssh and boot.ssh.key == EPHEMERAL else (),
        public_key=public_key(access) if access is not None else "",
    )
    cut = boot.power_cut
    plan = replace(
        plan, one_thread=one_thread, published=request.published, snapshots=bool(request.groups),
        logs_writes=logs_writes or (cut is not None and cut.moments > 0), started_unsigned=started_unsigned,
    )  # fmt: skip
    folder = folder or make_run_folder(request.runs_dir / request.machine_entry)
    with prepared_files(plan, folder) as ready:
        yield PreparedBoot(
            request=request,
            accelerator=accelerator,
            access=access,
            plan=ready,
            folder=folder,
            on_stage=on_stage,
        )
