"""QEMU's command line as a pure function of what is to run (qemu-system-x86_64(1), docs/system/invocation)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metallize.model.boot import Media
from metallize.model.machine import Firmware, Machine
from metallize.model.profile import ImageFormat
from metallize.qemu import sandbox
from metallize.qemu.board import OPTIONS, BoardBoot, last_console
from metallize.qemu.chain import QEMU_FORMATS, Layer, graph, whole
from metallize.qemu.firmware import FirmwarePair
from metallize.qemu.network import Card, Forward, cards_of, network_options
from metallize.serve import Running

WRITABLE = frozenset({Media.DISK, Media.USB})
"""What gets an overlay; nobody writes to a CD, and what is served over the network is only read."""

BOOT_FILES = {Firmware.BIOS: "boot.ipxe", Firmware.UEFI: "bootx64.efi"}
"""What is asked for first over the network: QEMU's BIOS cards run iPXE, which takes a script or a program."""

TERMINAL = "stdio,mux=on,signal=off"
"""The serial port on the terminal: Ctrl-C goes to the guest, Ctrl-A is QEMU's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    """Everything that QEMU is told of one guest."""

    machine: Machine
    accelerator: str
    cpu: str
    memory_bytes: int
    cpus: int
    media: Media
    image: Path
    image_format: ImageFormat
    layers: tuple[Layer, ...] = ()
    """The image's own files, as its headers name them; empty: it is one raw file."""
    opened_layers: tuple[Layer, ...] = ()
    """The same by their descriptors."""
    disk_bytes: int | None = None
    """The overlay's virtual size, where it is larger than the image."""
    overlay: Path | None = None
    """A qcow2 file over the image; None for a CD, which nobody can write."""
    logs_writes: bool = False
    """Whether all that the guest writes to its disk is written down in its order."""
    write_log: Path | None = None
    """Where that is."""
    served: Path | None = None
    """The folder that is handed out by TFTP, where the machine boots from the network."""
    web: Running | None = None
    """Where it finds the same files over HTTP."""
    bridge: str = ""
    """The command that QEMU starts for each connection to that server, where its network is closed."""
    internet: bool = False
    """Whether the guest reaches other networks, and the host's own services."""
    sandboxed: bool = True
    """Whether QEMU gives up what it needs no more before the guest runs."""
    firmware: FirmwarePair | None = None
    keys: str = ""
    """Certificates, PEM, that the firmware holds as its only keys; empty for those of its template."""
    started_unsigned: tuple[str, ...] = ()
    """Digests of programs that firmware with keys of one's own starts all the same (sha256, Authenticode)."""
    firmware_variables: Path | None = None
    """This run's own copy."""
    board: BoardBoot | None = None
    """What takes the place of a firmware that QEMU does not emulate."""
    board_files: tuple[Path, ...] = ()
    """Copies of the board's files, in their order."""
    descriptors: tuple[int, ...] = ()
    """Open files that QEMU inherits: the overlay and the variables, which have no other name."""
    cards: tuple[Card, ...] = ()
    """Network cards; empty: the machine's one."""
    forwards: tuple[int, ...] = (22,)
    """TCP ports of the guest that the host reaches, each at a port of 127.0.0.1 that QEMU chooses."""
    asked_forwards: tuple[Forward, ...] = ()
    """Those beside them whose port of the host a person chose."""
    credentials: tuple[str, ...] = ()
    """Strings of SMBIOS type 11, in which systemd looks for credentials."""
    seed_files: tuple[tuple[str, str], ...] = ()
    """What cloud-init is told: names and contents."""
    seed: Path | None = None
    """The CD with these files, which may hold secrets: it has no other name than a descriptor's."""
    tpm: bool = False
    tpm_state: int | None = None
    """A descriptor of the file in which the TPM keeps its state."""
    tpm_chardev: str = ""
    """Where swtpm is, as -chardev spells it (without its id)."""
    one_thread: bool = False
    """Emulate all CPUs in one thread: slower, and without the races of several (TCG only)."""
    counts: bool = False
    """Whether the guest's clock counts its instructions while it works, in place of the host's time (TCG only)."""
    snapshots: bool = False
    """Whether the running machine can be saved and put back: every disk is a qcow2 then."""
    state: Path | None = None
    """A qcow2 for the saved memory, where the guest has no disk of its own to hold it."""
    display: bool = False
    """A VGA adapter, for those who take screenshots."""
    capture: Path | None = None
    """A file for every packet of the network card, in pcap format."""
    published: Path | None = None
    """Where the image may be found later, when it is no longer where it was booted."""

    @property
    def variables_format(self) -> str:
        """Of the firmware's variables: a raw file cannot be saved and put back with the machine."""
        return "qcow2" if self.snapshots or self.firmware is None else self.firmware.variables_format

    @property
    def serial_ports(self) -> tuple[str, ...]:
        """The kernel's names of the serial ports, in QEMU's order."""
        return self.machine.serial_ports or (self.machine.console,)

    @property
    def console(self) -> str:
        """The serial port on which the system speaks and listens."""
        line = self.board.command_line if self.board is not None else ""
        return last_console(line, self.serial_ports) or self.machine.console

    @property
    def other_ports(self) -> tuple[str, ...]:
        return tuple(name for name in self.serial_ports if name != self.console)

    @property
    def echoing_ports(self) -> frozenset[str]:
        """Other ports on which the kernel prints what it prints on the console."""
        line = self.board.command_line if self.board is not None else ""
        return frozenset(name for name in self.other_ports if last_console(line, (name,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The backends of the serial port and of the monitor, as -chardev spells them (without their id)."""

    serial: str
    monitor: str
    """Empty: no QMP."""
    others: tuple[str, ...] = ()
    """Backends of the machine's other serial ports, in their order; `null` where none is given."""
    terminal: bool = False
    """The serial port's backend is a terminal that also offers QEMU's monitor (Ctrl-A C)."""


TRANSLATIONS_MIB = 128
"""How much translated code an emulated guest may keep (QEMU's tb-size; its own default is up to 1 GiB).

A page that once held code costs QEMU some milliseconds when the guest writes to it again, for as long as a translation
of it is kept: after an initrd that ran many programs this was a seventh of a live CD's boot.
"""


COUNTED_SHIFT = 1
"""An instruction takes a guest 2^N ns by its own clock, where that counts them (docs/devel/tcg-icount.rst of QEMU).

With two of them a Debian is up after as much of its own time as on a host on which emulation is 4 times slower than
normal, however busy the host is; it works a fifth longer for it by the host's.
"""


COUNTED_SLOWNESS = 6.0
"""As slow is a CPU of so many instructions a second, against one of normal speed (host/probe.S)."""


def value(text: str | Path) -> str:
    """A value inside an option: QEMU reads a comma as the next key, and two as one."""
    return str(text).replace(",", ",,")


def guest_argv(plan: GuestPlan, ports: Ports, *, paused: bool) -> tuple[str, ...]:
    """The argv of QEMU itself; an option and its value follow each other."""
    machine = plan.machine
    options: list[tuple[str, ...]] = [
        ("-name", f"metallize-{machine.name}"),
        ("-no-user-config",),
        ("-nodefaults",),
        ("-display", "none"),
        ("-machine", machine.qemu_machine),
        *_accelerator(plan),
        ("-cpu", plan.cpu),
        ("-smp", str(machine.cpus or plan.cpus)),
        ("-m", f"{(machine.memory_bytes or plan.memory_bytes) >> 20}M"),
        ("-action", "panic=none"),
    ]
    if plan.sandboxed:
        options.append(sandbox.option(spawns=bool(plan.bridge)))
    options += [("-global", each) for each in machine.properties]
    if paused:
        options.append(("-S",))
    if plan.firmware is not None and plan.firmware_variables is not None:
        code, variables = plan.firmware, plan.firmware_variables
        options += [
            ("-drive", f"if=pflash,unit=0,format={code.code_format},readonly=on,file={value(code.code)}"),
            ("-drive", f"if=pflash,unit=1,format={plan.variables_format},file={value(variables)}"),
        ]
    options += _board(plan)
    options += _ports(plan, ports)
    options += _media(plan)
    if plan.state is not None:
        # no device: the guest does not see it
        options.append(("-drive", f"if=none,id=state0,format=qcow2,cache=unsafe,file={value(plan.state)}"))
    if plan.seed is not None:
        options += [
            ("-drive", f"if=none,id=seed0,format=raw,readonly=on,file={value(plan.seed)}"),
            ("-device", f"{machine.seed_device},drive=seed0"),
        ]
    options += network_options(
        plan.cards or cards_of((), machine.nic_device),
        plan.forwards,
        boot_file=BOOT_FILES[machine.firmware] if plan.served is not None else "",
        own_driver=machine.firmware is Firmware.UEFI,
        served=value(plan.served or ""),
        internet=plan.internet,
        bridge=value(plan.bridge),
        asked=plan.asked_forwards,
    )
    if plan.capture is not None:
        options.append(("-object", f"filter-dump,id=capture0,netdev=net0,file={value(plan.capture)}"))
    options += [("-device", device) for device in machine.devices]
    if plan.tpm_chardev:
        options += [
            ("-chardev", f"{plan.tpm_chardev},id=tpm0"),
            ("-tpmdev", "emulator,id=tpm0,chardev=tpm0"),
            ("-device", f"{machine.tpm_device},tpmdev=tpm0"),
        ]
    if plan.display:
        options.append(("-device", "VGA"))
    if machine.smbios:
        options += [("-smbios", f"type=11,value={value(credential)}") for credential in plan.credentials]
    return (machine.qemu, *(word for option in options for word in option))


def _accelerator(plan: GuestPlan) -> list[tuple[str, ...]]:
    if plan.accelerator != "tcg":
        return [("-accel", plan.accelerator)]
    threads = "single" if plan.one_thread or plan.counts else "multi"
    counted = [("-icount", f"shift={COUNTED_SHIFT}")] if plan.counts else []
    return [("-accel", f"tcg,thread={threads},tb-size={TRANSLATIONS_MIB}"), *counted]


def _ports(plan: GuestPlan, ports: Ports) -> list[tuple[str, ...]]:
    options: list[tuple[str, ...]] = []
    others = iter(ports.others)
    for number, name in enumerate(plan.serial_ports):
        backend = ports.serial if name == plan.console else next(others, "null")
        options += [("-chardev", f"{backend},id=serial{number}"), ("-serial", f"chardev:serial{number}")]
    if ports.monitor:
        options += [("-chardev", f"{ports.monitor},id=monitor0"), ("-mon", "chardev=monitor0,mode=control")]
    if ports.terminal:
        options.append(("-mon", f"chardev=serial{plan.serial_ports.index(plan.console)},mode=readline"))
    return options


def _board(plan: GuestPlan) -> list[tuple[str, ...]]:
    """Kernel, device tree, initrd and command line, where QEMU has no firmware that would load them."""
    if plan.board is None:
        return []
    line = plan.board.command_line
    if not plan.machine.smbios:
        # systemd(1): a credential on the kernel's command line, NAME:BASE64
        prefix = "io.systemd.credential.binary:"
        given = [text.removeprefix(prefix).replace("=", ":", 1) for text in plan.credentials]
        line = " ".join([line, *(f"systemd.set_credential_binary={text}" for text in given)])
    pairs = zip(OPTIONS, plan.board_files, strict=False)  # the initrd is last, and may be none
    return [*((option, str(path)) for option, path in pairs), ("-append", line)]


def _media(plan: GuestPlan) -> list[tuple[str, ...]]:
    if plan.media is Media.NETWORK:
        return []
    if plan.overlay is None:
        drive = f"format={QEMU_FORMATS[plan.image_format]},readonly=on,file={value(_source(plan))}"
    else:
        # The overlay lives no longer than we do: what QEMU handed to the kernel need not reach the disk. A guest's
        # flush still empties QEMU's own caches (block/io.c, bdrv_co_flush), so that it outlives a killed QEMU.
        drive = _disk(plan, plan.overlay)
    match plan.media:
        case Media.CD:
            return [
                ("-drive", f"if=none,id=image0,media=cdrom,{drive}"),
                ("-device", "ide-cd,drive=image0,bootindex=0"),
            ]
        case Media.USB:
            return [
                ("-device", "qemu-xhci"),
                ("-drive", f"if=none,id=image0,{drive}"),
                ("-device", "usb-storage,drive=image0,bootindex=0"),
            ]
        case Media.DISK if plan.machine.disk_interface:
            return [("-drive", f"if={plan.machine.disk_interface},{drive}")]
        case Media.DISK:
            return [
                ("-drive", f"if=none,id=image0,{drive}"),
                ("-device", f"{plan.machine.disk_device},drive=image0,bootindex=0"),
            ]


def _disk(plan: GuestPlan, overlay: Path) -> str:
    if plan.write_log is None:
        return f"format=qcow2,cache=unsafe,discard=unmap,file={value(overlay)}"
    # The guest's flushes come to the log, which would not hear of them with cache=unsafe, and go no further.
    below = f"file.driver=qcow2,file.cache.no-flush=on,file.file.driver=file,file.file.filename={value(overlay)}"
    log = f"log.driver=file,log.cache.no-flush=on,log.filename={value(plan.write_log)}"
    return f"driver=blklogwrites,cache=writeback,discard=unmap,{below},{log}"


def _source(plan: GuestPlan) -> str:
    """The image as QEMU opens it; a format that can name other files is told all of them."""
    layers = plan.opened_layers or plan.layers
    return graph(layers) if layers and not whole(layers) else str(plan.image)


def overlay_argv(plan: GuestPlan, overlay: Path) -> tuple[str, ...]:
    """The `qemu-img` call that makes the overlay over the image."""
    size = () if plan.disk_bytes is None else (str(plan.disk_bytes),)
    backing = QEMU_FORMATS[plan.image_format]
    return ("qemu-img", "create", "-q", "-f", "qcow2", "-F", backing, "-b", _source(plan), str(overlay), *size)


def source_argv(plan: GuestPlan, target: Path) -> tuple[str, ...]:
    """The `qemu-img` call that copies what the image holds into a raw file that is there."""
    source = _source(plan)
    known = () if source.startswith("json:") else ("-f", QEMU_FORMATS[plan.image_format])
    return ("qemu-img", "convert", *known, "-O", "raw", source, str(target))


def tpm_argv(folder: Path) -> tuple[str, ...]:
    """The `swtpm` call of a script: it listens at FOLDER/tpm.socket, goes to the background and ends with QEMU."""
    return (
        *("swtpm", "socket", "--tpm2", "--terminate", "--daemon", "--pid", f"file={folder}/tpm.pid"),
        *("--tpmstate", f"dir={folder}", "--ctrl", f"type=unixio,path={folder}/tpm.socket"),
    )
