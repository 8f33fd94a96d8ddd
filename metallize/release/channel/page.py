"""index.html of a channel: what there is, for people; it needs no other file and no script."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from metallize.release.catalogue import Catalogue, Change, Gone, Release, ReleasedImage

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size_bytes: int) -> str:
    """`812 B`, `24.1 MB`."""
    size, unit = float(size_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - would be shown with four digits
        size, unit = size / 1000, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{size:.{1 if size < 99.95 else 0}f} {_UNITS[unit]}"  # noqa: PLR2004


def page_text(catalogue: Catalogue) -> str:
    """The whole page."""
    style = files("metallize.release.channel").joinpath("page.css").read_text("utf-8")
    channel = escape(catalogue.channel)
    newest = {name: latest.key for name in _names(catalogue) if (latest := catalogue.latest(name))}
    releases = "".join(_release(each, latest=newest[each.name] == each.key) for each in catalogue.releases)
    gone = "".join(_gone(each) for each in reversed(catalogue.gone))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Releases: {channel}</title>\n"
        '<link rel="alternate" type="application/atom+xml" href="feed.atom" title="Releases">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>Releases <span>{channel}</span></h1>\n"
        f"{releases or '<p>Nothing is released in this channel now.</p>' + chr(10)}"
        f"{_fetch(catalogue.releases[0]) if catalogue.releases else ''}"
        f"{f'<section><h2>No longer here</h2><ul>{gone}</ul></section>{chr(10)}' if gone else ''}"
        "</main>\n</body>\n</html>\n"
    )


def _fetch(release: Release) -> str:
    """How a person checks what was fetched: its digest, and where it is signed, that these bytes booted."""
    signed = next((each.payload.name for each in release.images if _is_signed(each)), "")
    proof = f"\nmetallize attest verify {escape(signed)} --key release.pub" if signed else ""
    told = "<p>release.pub is the publisher's public key, which comes another way than from here.</p>" if signed else ""
    commands = f"<pre>sha256sum --check --ignore-missing SHA256SUMS{proof}</pre>"
    return f"<section><h2>To check what was fetched</h2>{commands}{told}</section>\n"


def _is_signed(image: ReleasedImage) -> bool:
    return any(file.name.endswith(".intoto.jsonl") for file in image.files)


def _names(catalogue: Catalogue) -> list[str]:
    return sorted({each.name for each in catalogue.releases})


def _release(release: Release, *, latest: bool) -> str:
    marks = "".join(
        f' <span class="mark">{text}</span>'
        for text, there in (("latest", latest), ("pinned", release.pinned))
        if there
    )
    heading = f'<h2 id="{escape(release.key)}">{escape(release.name)} {escape(release.version)}{marks}</h2>'
    images = "".join(_image(image) for image in release.images)
    published = f'<p class="muted">published {_day(release.published)}</p>'
    waived = "".join(f'<p class="waived">overruled: {escape(each)}</p>' for each in release.waived)
    changes = "".join(_change(each) for each in release.changes)
    return f'<section class="release">{heading}{published}{waived}{images}{changes}</section>\n'


def _change(change: Change) -> str:
    lines = "\n".join(escape(each) for each in change.lines)
    return (
        f"<details><summary>{escape(change.image)}: what differs from {escape(change.since)}</summary>"
        f"<pre>{lines}</pre></details>"
    )


def _image(image: ReleasedImage) -> str:
    payload = image.payload
    papers = ", ".join(_link(file.name, file.name.removeprefix(_base(payload.name))) for file in image.files[1:])
    return (
        '<div class="image">'
        f'<p class="fetch">{_link(payload.name, payload.name)} <span class="muted size">{size_text(payload.size_bytes)}'
        f"</span></p>"
        f"<p>{escape(image.architecture)}, {escape(image.format)}, {size_text(image.image_bytes)} on disk; "
        f"booted and passed on {escape(', '.join(image.machines))} ({_day(image.verified)})</p>"
        f'<p class="digest"><span class="muted">sha256</span> <code>{escape(payload.sha256)}</code></p>'
        f"<p>{papers}</p></div>"
    )


def _base(payload: str) -> str:
    """What the names of an image's papers begin with."""
    return payload.removesuffix(".xz")


def _link(name: str, text: str) -> str:
    return f'<a href="{escape(name)}">{escape(text)}</a>'


def _day(moment: str) -> str:
    """The whole of it where somebody looks closer."""
    return f'<time datetime="{escape(moment)}" title="{escape(moment)}">{escape(moment[:10])}</time>'


def _gone(gone: Gone) -> str:
    return f"<li>{escape(gone.name)} {escape(gone.version)}: {escape(gone.why)}, {_day(gone.since)}</li>"
