"""A release whose index is not what was signed, or whose files are not what the index says, must not be installed.

Both are offered to the release before, as it runs, under a version that is newer than its own, so that nothing else is
a reason to leave them. First the engine must show that it would take such a release: by the same index with a
signature of its own. The key is one of the moment's, which the engine alone finds, in a mount namespace of its own.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import assert_never

from metallize.model.kind import Claim, Observation
from metallize.model.report import Entry, Result
from metallize.model.update import TRANSFERS as _TRANSFERS
from metallize.model.update import Engine, Tamper, Update
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.phases import upkeep
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

TURN = Turn(name="tampered-index", suffix=": a release that was tampered with")
WHOLE, CHANGED, MIXED = (f"{Tamper.INDEX}/{name}" for name in ("whole", "changed", "mixed"))
"""Under our URL: an index with its signature, the same with the signature of another one, and one that tells otherwise
of a file."""
_SIGNED, _MATCHING = "update/signature", "update/digest"
_TAKEN, _UNSHOWN = 1, 77
"""How a script ends where the release was installed, and where it would have been left for another reason."""
_UNASKED = "the machine's transfers ask for no signature (Verify=no)"
BAD_SIGNATURE, BAD_DIGEST = "Signature verification failed", "DOWNLOAD INVALID: Checksum of"
"""What systemd-pull says of each (src/import/pull-common.c)."""
_TRIED = """\
tried() {
  /usr/lib/systemd/systemd-sysupdate --definitions="$METALLIZE_SCRATCH/$1" "$2" check-new >&2 || {
    echo "the engine finds nothing newer in $1, which is whole" >&2
    exit 77
  }
  said=$METALLIZE_SCRATCH/said
  if /usr/lib/systemd/systemd-sysupdate --definitions="$METALLIZE_SCRATCH/$3" "$2" update >"$said" 2>&1; then exit 1; fi
  grep -v '^Got ' "$said" | tail -n 40 >&2
}
"""
_NO_SIGNATURE = "unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Where the guest finds it, and the key that has signed."""

    url: str
    """Of all of it."""
    keyring: bytes


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """An entry for each way in which an index can be wrong."""
    update = request.boot.update
    if update is None or Tamper.INDEX not in update.tamper:
        return ()
    return (
        TURN.entry(_SIGNED, "an index that was changed after it was signed is refused", "update"),
        TURN.entry(_MATCHING, "a file that is not what the index says is refused", "update"),
    )


def run(session: BootSession, update: Update, offer: Offer, checklist: Checklist) -> bool:
    """Offer both to a system that runs; whether all is as it must be. Raises GuestFailed."""
    shell = session.best_shell()
    if shell is None or update.engine is None:
        return False
    results = []
    for place, script, words in (
        (_SIGNED, signed_script(update.engine, offer), BAD_SIGNATURE),
        (_MATCHING, mixed_script(update.engine), BAD_DIGEST),
    ):
        was = upkeep.asked(session, shell, update.installed_command)
        seen = upkeep.ran(session, shell, update, offer.url, script)
        now = upkeep.asked(session, shell, update.installed_command)
        entry = checklist[f"{TURN.name}/{place}"]
        results.append(judge(entry, was, seen, now, words, shell.name))
    checklist.settle(*results)
    return all(each.holds for each in results)


_REFUSED = "`tamper` is refused where another engine updates (model/update.py)"


def signed_script(engine: Engine, offer: Offer) -> str:
    """What offers the changed index in the guest, by the machine's own word on signatures; pure."""
    match engine:
        case Engine.SYSUPDATE:
            keyring = base64.b64encode(offer.keyring).decode("ascii")
            return f"""{_TRANSFERS}{_TRIED}
transfers whole "$METALLIZE_UPDATE/{WHOLE}"
transfers changed "$METALLIZE_UPDATE/{CHANGED}"
if grep -Eiq '^verify *= *(0|n|no|f|false|off) *$' "$METALLIZE_SCRATCH"/whole/*; then
  echo {_NO_SIGNATURE}
  exit
fi
cat >"$METALLIZE_SCRATCH/alone" <<'END'
set -eu
mount -t tmpfs -o mode=0755 metallize /etc/systemd
echo {keyring} | base64 -d >/etc/systemd/import-pubring.gpg
cp /etc/systemd/import-pubring.gpg /etc/systemd/import-pubring.pgp
{_TRIED}
tried whole --verify=yes changed
END
export METALLIZE_SCRATCH
unshare --mount sh "$METALLIZE_SCRATCH/alone"
"""
        case Engine.RAUC:
            raise AssertionError(_REFUSED)
    assert_never(engine)


def mixed_script(engine: Engine) -> str:
    """What offers the file that the index tells otherwise of, in the guest; pure."""
    match engine:
        case Engine.SYSUPDATE:
            return f"""{_TRANSFERS}{_TRIED}
transfers mixed "$METALLIZE_UPDATE/{MIXED}"
tried mixed --verify=no mixed
"""
        case Engine.RAUC:
            raise AssertionError(_REFUSED)
    assert_never(engine)


def judge(
    entry: Entry, was: Observation | None, seen: Observation | None, now: Observation | None, words: str, by: str
) -> Result:
    """What became of one offer; pure. `words` are the engine's of the reason for which it must leave it."""
    if was is None or now is None or seen is None or was.status != 0 or now.status != 0:
        return entry.unseen("offered it, and looked before and after at what is installed: no answer", observed=by)
    said = [line.strip() for line in f"{seen.stdout}\n{seen.stderr}".splitlines() if line.strip()]
    last = said[-1] if said else "nothing was said"
    if seen.status == _UNSHOWN:
        why = "; ".join(said[-2:])
        return entry.unseen(f"offered it whole first, and it was not taken for an update either: {why}", observed=by)
    if seen.status == 0 and seen.stdout.strip() == _NO_SIGNATURE:
        return entry.skipped(_UNASKED)
    told = next((line for line in said if words in line), None)
    if seen.status == _TAKEN:
        actual = "installed, and the engine ended well"
    elif told is None:
        actual = f"status {seen.status}, and not for this reason: {last}"
    else:
        actual = told
    refused = Claim(attribute="offer", expected=words, actual=actual, holds=seen.status == 0 and told is not None)
    return entry.judged(refused, untouched(was, now), observed=by, seconds=seen.seconds)


def untouched(was: Observation, now: Observation) -> Claim:
    """What is installed is what was; pure."""
    before, after = was.stdout.strip(), now.stdout.strip()
    changed = sorted(set(after.splitlines()) ^ set(before.splitlines()))
    actual = "as it was" if before == after else f"changed: {'; '.join(changed)}"
    return Claim(attribute="installed", expected="as it was", actual=actual, holds=before == after)
