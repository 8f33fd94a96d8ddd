"""A firmware's variables with keys of one's own: PK, KEK and db hold these certificates, and nobody else's.

The first certificate is platform key and key exchange key, and all of them may sign what is started (UEFI
Specification, 32.3); what db has the digest of is started, too, whoever has signed it (32.5.3.3). virt-firmware writes
them as EDK II stores its variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from virt.firmware.varstore.edk2 import Edk2VarStore

from metallize.errors import HostError
from metallize.files.certificates import certificates_in
from metallize.qemu.descriptors import descriptor_path, memory_file

OWNER = "6d657461-6c6c-5a69-8a65-000000000002"
"""Who has put them there: the signature owner of each (EFI_SIGNATURE_DATA)."""


def enrol(variables: Path, certificates: str, digests: Iterable[str] = ()) -> None:
    """Write the certificates, PEM, into a raw file of variables that has no keys yet, and switch Secure Boot on.

    `digests` are those of programs that are started whether anybody has signed them or not (sha256, Authenticode).

    Raises HostError where the file is none of EDK II's, or has no room for them.
    """
    try:
        store = Edk2VarStore(str(variables))
        kept = store.get_varlist()
        first, *_ = every = certificates_in(certificates)
        with ExitStack() as stack:
            for name, those in (("PK", (first,)), ("KEK", (first,)), ("db", every)):
                for number, each in enumerate(those):
                    file = memory_file(stack)
                    os.write(file, each.encode())
                    kept.add_cert(name, OWNER, str(descriptor_path(file)), number == 0)
        for digest in digests:
            kept.add_hash("db", OWNER, digest)
        kept.enable_secureboot()
        store.write_varstore(str(variables), kept)
    except SystemExit as exc:  # its way to say so; what is wrong it has written to the log
        raise HostError(
            "the firmware's template of variables takes no keys: it is none of EDK II's, or too small",
            hint="see the descriptor in /usr/share/qemu/firmware that `metallize doctor` names",
        ) from exc


def enrol_argv(template: Path, target: Path, certificates: Sequence[Path]) -> tuple[str, ...]:
    """The same by virt-firmware's own program, for whoever does it by hand (virt-fw-vars(1))."""
    first = str(certificates[0])
    more = (word for each in certificates for word in ("--add-db", OWNER, str(each)))
    return (
        *("virt-fw-vars", "--input", str(template), "--output", str(target)),
        *("--set-pk", OWNER, first, "--add-kek", OWNER, first, *more, "--secure-boot"),
    )
