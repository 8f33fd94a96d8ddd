"""repro.sh: a run's machine once more, by hand, without metallize and with nothing of the run but its image."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from metallize.files.certificates import certificates_in
from metallize.qemu import netboot, seed
from metallize.qemu.argv import TERMINAL, GuestPlan, Ports, guest_argv, overlay_argv, tpm_argv
from metallize.qemu.board import OPTIONS, mcopy_argv
from metallize.qemu.enrolment import enrol_argv
from metallize.qemu.firmware import FirmwarePair
from metallize.serve import archive, bridge

_END_OF_FILE = "END-OF-METALLIZE-FILE"


def repro_script(plan: GuestPlan) -> str:
    """A shell script that boots the same machine by hand, serial port on the terminal, image untouched.

    An image that passes moves on to its published place after the run: the script looks there too. What may hold
    secrets is not in it: a seed is asked for.
    """
    folder = Path("@FOLDER@")
    # the image is a link: no comma in its name, wherever it is
    mine = replace(
        plan, image=folder / "image", capture=None, snapshots=False, state=None, opened_layers=(), write_log=None
    )
    if plan.layers:
        mine = replace(mine, layers=(replace(plan.layers[0], path=folder / "image"), *plan.layers[1:]))
    steps = []
    if plan.overlay is not None:
        mine = replace(mine, overlay=folder / "overlay.qcow2")
        steps.append(_quoted(overlay_argv(mine, folder / "overlay.qcow2")))
    if plan.served is not None:
        mine = replace(mine, served=folder / "tftp")
        steps += [
            *_carried(archive.__file__, "unpack.py"),
            'mkdir "$folder/tftp"',
            'python3 "$folder/unpack.py" "$folder/image" "$folder/tftp"',
            *netboot.web_server_script('"$folder/tftp"', internet=plan.internet),
        ]
        if plan.bridge:
            mine = replace(mine, bridge=f"python3 {folder}/bridge.py {netboot.SCRIPT_PORT}")
            steps += _carried(bridge.__file__, "bridge.py")
    if plan.seed is not None:
        mine = replace(mine, seed=folder / "seed.iso")
        steps += _seed(tuple(name for name, _ in plan.seed_files))
    if plan.firmware is not None:
        mine = replace(mine, firmware_variables=folder / "vars.fd")
        steps += _variables(plan, plan.firmware, folder)
    end = 'for pid in "$folder"/*.pid; do kill "$(cat "$pid" 2>/dev/null)" 2>/dev/null || :; done; rm -rf "$folder"'
    if plan.tpm:
        mine = replace(mine, tpm_chardev=f"socket,path={folder}/tpm.socket")
        steps.append(_quoted(tpm_argv(folder)))
    if plan.board is not None:
        copies = tuple(folder / option.lstrip("-") for option, _ in zip(OPTIONS, plan.board.files, strict=False))
        mine = replace(mine, board_files=copies)
        for name, copy in zip(plan.board.files, copies, strict=True):
            steps.append(_quoted(mcopy_argv(plan.board.partition, name, str(copy))))
    ports = Ports(serial=TERMINAL, monitor="", terminal=True)
    steps.append(_quoted(guest_argv(mine, ports, paused=False)))
    places = " ".join(shlex.quote(str(path)) for path in (plan.image, plan.published) if path is not None)
    return (
        "#!/bin/sh\n"
        "# usage: repro.sh [IMAGE]\n"
        "# Boots this run's machine by hand: serial port on the terminal, Ctrl-A X ends it, Ctrl-A C is the monitor\n"
        "# (`info usernet` there tells the ports). The image is not changed.\n"
        "set -eu\n"
        f'[ $# -gt 0 ] || for image in {places}; do [ ! -f "$image" ] || break; done\n'
        "image=${1:-$image}\n"
        '[ -f "$image" ] || { echo "there is no $image any more; name the image: $0 IMAGE" >&2; exit 1; }\n'
        f"folder=$(mktemp -d)\ntrap '{end}' EXIT\n"
        "case $image in /*) ;; *) image=$PWD/$image ;; esac\n"
        'ln -s "$image" "$folder/image"\n' + "\n".join(steps) + "\n"
    )


def _variables(plan: GuestPlan, firmware: FirmwarePair, folder: Path) -> list[str]:
    """Lines that make the firmware's variables: a copy of its template, and in it the keys that the machine has."""
    if not plan.keys:
        return [_quoted(("cp", str(firmware.variables), str(folder / "vars.fd")))]
    certificates = certificates_in(plan.keys)
    files = [folder / f"key{number}.pem" for number in range(len(certificates))]
    written = zip(files, certificates, strict=True)
    return [
        "# virt-fw-vars is virt-firmware's: pip install virt-firmware",
        *(
            line
            for file, text in written
            for line in (f"cat >\"$folder/{file.name}\" <<'{_END_OF_FILE}'", text.rstrip("\n"), _END_OF_FILE)
        ),
        _quoted(enrol_argv(firmware.variables, folder / "vars.fd", files)),
    ]


def _carried(source: str, name: str) -> list[str]:
    """Lines that write one of our own files, which stands on nothing but Python, into the script's folder."""
    text = Path(source).read_text(encoding="utf-8").rstrip("\n")
    return [f"cat >\"$folder/{name}\" <<'{_END_OF_FILE}'", text, _END_OF_FILE]


def _seed(names: tuple[str, ...]) -> list[str]:
    files = " ".join(names)
    return [
        f"# The seed for cloud-init ({files}) may hold secrets and is not kept with the run: boot.seed says it.",
        f'[ -n "${{SEED:-}}" ] || {{ echo "this machine has a seed: SEED=FOLDER $0 (a folder with {files})" >&2',
        "exit 1; }",
        *_carried(seed.__file__, "seed.py"),
        f'python3 "$folder/seed.py" "$SEED" "$folder/seed.iso" {files}',
    ]


def _quoted(argv: tuple[str, ...]) -> str:
    words = []
    for word in argv:
        pieces = [shlex.quote(piece) if piece else "" for piece in word.split("@FOLDER@")]
        words.append('"$folder"'.join(pieces) or "''")
    return " ".join(words)
