"""Who the system says that it is: the same on every later boot of one disk, and made on the first boot only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metallize.model.kind import Claim, Observation, lines_of
from metallize.model.report import Entry, Result

PROBE = r"""
echo "kept $(stat -f -c %T /var/tmp 2>/dev/null)"
if [ -r /etc/machine-id ]; then m=; read -r m </etc/machine-id; echo "machine-id $m"
elif [ ! -e /etc/machine-id ]; then echo "machine-id none"; fi
for f in /etc/ssh/ssh_host_*_key.pub; do
  if [ -r "$f" ]; then k=; read -r t k rest <"$f"; [ -n "$k" ] || exit 1; echo "key ${f##*/} $k"; fi
done
[ -d /run/systemd/system ] || { echo end; exit 0; }
cd /
units=$(grep -lsE '^ConditionFirstBoot=(yes|true|1)' etc/systemd/system/*.service usr/lib/systemd/system/*.service)
[ $? -lt 126 ] || exit 1
for u in $units; do
  r=$(systemctl show -p ConditionResult,InactiveExitTimestampMonotonic -- "${u##*/}" | sort | tr '\n' ' ')
  case $r in
    *ConditionResult=yes*Monotonic=0\ *) ;;
    *ConditionResult=yes*) echo "first-boot ${u##*/}" ;;
    *ConditionResult=*Monotonic=*) ;;
    *) exit 1 ;;
  esac
done
echo end
"""
"""What stays, and which units ran because systemd took this for the first boot (systemd.unit(5))."""
_TRANSIENT = frozenset({"overlayfs", "overlay", "tmpfs", "ramfs", "squashfs", "rootfs", "aufs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the probe saw on one boot."""

    filesystem: str
    """Of /var/tmp, in stat's words."""
    machine_id: str
    keys: Mapping[str, str]
    first_boot_units: tuple[str, ...]

    @property
    def persistent(self) -> bool:
        """Whether what is written is there on the next boot: not so on a live system."""
        return bool(self.filesystem) and self.filesystem not in _TRANSIENT


def read_identity(observation: Observation | None) -> Identity | None:
    """What the probe printed as a value; None where it did not answer."""
    if observation is None or observation.status != 0 or observation.stdout.split()[-1:] != ["end"]:
        return None
    lines = [line.split() for line in lines_of(observation.stdout) if line.split()]
    return Identity(
        filesystem=next((words[1] for words in lines if words[0] == "kept" and len(words) > 1), ""),
        machine_id=next((words[1] for words in lines if words[0] == "machine-id" and len(words) > 1), ""),
        keys={words[1]: words[2] for words in lines if words[0] == "key" and len(words) > 2},  # noqa: PLR2004 - name and key
        first_boot_units=tuple(words[1] for words in lines if words[0] == "first-boot"),
    )


def judge_identity(entry: Entry, before: Identity | None, after: Identity | None, *, observed: str) -> Result:
    """The later boot against the earlier one of the same disk; pure."""
    if before is None or after is None or not before.filesystem:
        when = "before" if before is None or not before.filesystem else "after"
        return entry.unseen(
            f"asked the boot {when} it for machine-id and host keys: no whole answer", observed=observed
        )
    if not before.persistent:
        kept = Claim(attribute="kept", expected="nothing", actual=f"nothing ({before.filesystem})", holds=True)
        return entry.judged(kept, observed=observed, note="a live system keeps nothing from one boot to the next")
    again = ", ".join(after.first_boot_units)
    return entry.judged(
        _same("machine-id", before.machine_id, after.machine_id),
        *(_same(name, key, after.keys.get(name, "none")) for name, key in sorted(before.keys.items())),
        Claim(attribute="first-boot units", expected="none", actual=again or "none", holds=not again),
        observed=observed,
    )


def _same(attribute: str, before: str, after: str) -> Claim:
    seen = bool(before and after)
    return Claim(attribute=attribute, expected=before, actual=after, holds=seen and before == after, unseen=not seen)
