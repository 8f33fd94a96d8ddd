"""What a channel shows, as one object that is compared and swapped: from then on it is decided.

No store changes several objects at once. So all pointers of a switch are written into this object first; then each is
put in its place, and at last the object says that they are. Whoever finds one that is not settled, because its
publisher was killed, does the rest. Each pointer by itself tells at every moment of a release that is whole.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from metallize.errors import HostError
from metallize.files.json_file import as_mapping, as_text
from metallize.release.objects.bucket import ALWAYS, Bucket
from metallize.release.remote.media import kind_of

FOLDER = ".metallize/channels/"
_END = ".json"
_SCHEMA = 1
_CHANGED = "somebody else has changed the channel meanwhile"
_NEXT = "run it again: what is written is used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that clients see of one channel."""

    number: int = 0
    """Of the switch; 0 before the first."""
    names: frozenset[str] = frozenset()
    pointers: Mapping[str, bytes]
    settled: bool = True
    etag: str | None = None
    """Of the object that says so; None where there is none."""

    def text(self) -> bytes:
        """As the object holds it."""
        content = {
            "schema": _SCHEMA,
            "number": self.number,
            "names": sorted(self.names),
            "pointers": {name: b64encode(content).decode() for name, content in sorted(self.pointers.items())},
            "settled": self.settled,
        }
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def names_of(bucket: Bucket) -> tuple[str, ...]:
    """The channels that were ever switched to."""
    found = (each.key.removeprefix(FOLDER) for each in bucket.listed(FOLDER))
    return tuple(sorted(each.removesuffix(_END) for each in found if each.endswith(_END)))


def shown(bucket: Bucket, channel: str) -> Shown:
    """What a channel shows. Raises HostError for what is no such object: only it knows what is decided."""
    key = _key(channel)
    held = bucket.get(key)
    if held is None:
        return Shown(pointers={})
    try:
        return replace(read_shown(held.content), etag=held.etag)
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise HostError(
            f"{bucket.place(key)} does not tell what the channel shows: {exc}",
            hint="put back the object as metallize wrote it, or choose another channel",
        ) from exc


def read_shown(text: bytes) -> Shown:
    """What `Shown.text` wrote. Raises ValueError, LookupError or TypeError for anything else."""
    content = as_mapping(json.loads(text))
    if content.get("schema") != _SCHEMA:
        raise ValueError("an older or a newer metallize wrote it")
    return Shown(
        number=int(content["number"]),
        names=frozenset(as_text(each) for each in content["names"]),
        pointers={name: b64decode(as_text(each)) for name, each in as_mapping(content["pointers"]).items()},
        settled=content["settled"] is True,
    )


def decide(bucket: Bucket, channel: str, new: Shown) -> Shown:
    """Put it in the place of the one that it was made from. Raises HostError where that is another by now."""
    etag = bucket.put(_key(channel), new.text(), kind_of(_END), ALWAYS, only_over=new.etag)
    if etag is None:
        now = shown(bucket, channel)
        # An answer that was lost on the way, to a request that was sent again: then it is ours.
        if replace(now, etag=None) != replace(new, etag=None):
            raise HostError(f"{bucket.place(_key(channel))}: {_CHANGED}", hint=_NEXT)
        return now
    return replace(new, etag=etag)


def settle(bucket: Bucket, channel: str, now: Shown, require: Callable[[], None]) -> Shown:
    """Put every pointer in its place, read it back, and say so."""
    for name, content in sorted(now.pointers.items()):  # SHA256SUMS and its signature next to each other
        key = f"{channel}/{name}"
        there = bucket.get(key)
        if there is not None and there.content == content:
            continue
        require()
        done = bucket.put(key, content, kind_of(name), ALWAYS, only_over=there.etag if there is not None else None)
        there = bucket.get(key)
        if there is None or there.content != content:
            why = _CHANGED if done is None else "it does not read as it was written"
            raise HostError(f"{bucket.place(key)}: {why}", hint=_NEXT)
    require()
    return decide(bucket, channel, replace(now, settled=True))


def unsettled(bucket: Bucket) -> Iterator[tuple[str, Shown]]:
    """The channels whose last publisher was killed between deciding and the end."""
    for channel in names_of(bucket):
        now = shown(bucket, channel)
        if not now.settled:
            yield channel, now


def _key(channel: str) -> str:
    return f"{FOLDER}{channel}{_END}"
