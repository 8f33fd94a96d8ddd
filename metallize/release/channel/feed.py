"""feed.atom of a channel: each release with what it has otherwise than the one before (RFC 4287)."""

from __future__ import annotations

import re
import uuid
from xml.sax.saxutils import escape, quoteattr

from metallize.release.catalogue import Catalogue, Release

FILE = "feed.atom"
_NAMESPACE = uuid.UUID("0d5ac0f7-0a0c-5be4-9c5f-7c1d5f6f4a53")
"""Of ids that are made from names; it means nothing else."""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write (2.2)."""
_BEGINNING = "1970-01-01T00:00:00+00:00"


def feed_text(catalogue: Catalogue) -> str:
    """The whole feed. Addresses in it are relative: nothing here knows where it is served."""
    times = [*(each.published for each in catalogue.releases), *(each.since for each in catalogue.gone)]
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
        f"<title>Releases: {_text(catalogue.channel)}</title>\n<id>{_id(catalogue.channel)}</id>\n"
        f"<updated>{max(times, default=_BEGINNING)}</updated>\n<author><name>metallize</name></author>\n"
        f'<link rel="self" href="{FILE}"/>\n<link rel="alternate" type="text/html" href="index.html"/>\n'
        f"{''.join(_entry(catalogue.channel, each) for each in catalogue.releases)}</feed>\n"
    )


def _entry(channel: str, release: Release) -> str:
    return (
        f"<entry>\n<title>{_text(release.name)} {_text(release.version)}</title>\n"
        f"<id>{_id(channel, release.key, *sorted(image.image_sha256 for image in release.images))}</id>\n"
        f"<updated>{_text(release.published)}</updated>\n"
        f"<link href={quoteattr(f'index.html#{release.key}')}/>\n"
        f'<content type="text">{_text(content_of(release))}</content>\n</entry>\n'
    )


def content_of(release: Release) -> str:
    """For people: each image, what was overruled, and what is otherwise than before."""
    lines = [f"{each.payload.name}: booted and passed on {', '.join(each.machines)}" for each in release.images]
    lines += [f"overruled: {each}" for each in release.waived]
    for change in release.changes:
        lines += ["", f"{change.image}, since {change.since}:", *change.lines]
    return "\n".join(lines)


def _id(*names: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, ' '.join(names))}"


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))
