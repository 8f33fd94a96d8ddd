"""http: what a web server answers when it is asked from inside the guest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from metallize.checks.claims import Attribute, Fields, Unseen, judge_existing, read_fields
from metallize.checks.decoding import ExpectedLines, ExpectedNumber
from metallize.checks.http_request import BODY_BYTES, MOST_REDIRECTS, Request, probe
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.model.kind import Flag, Milliseconds, ResourceOptions, whole_number

_DEFAULT_TIMEOUT = 5000
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2: what a method and a header's name are made of."""
_ANSWERED = {"wget": {"0", "6", "8"}}
"""Exit statuses with which a tool has an answer: GNU wget's 6 and 8 say that it was one of 401, or another error."""
_BARE = {"bash", "perl"}
"""Tools that only carry bytes."""
_REDIRECTS = {301, 302, 303, 307, 308}
_BODILESS = {204, 304}
"""Answers whose Content-Length is another's (RFC 9110, 8.6)."""


class HttpOptions(ResourceOptions):
    """The attributes of one request and of its answer; its key is the URL."""

    url: Annotated[str | None, Field(description="the URL, where the key is only a label")] = None
    status: Annotated[ExpectedNumber, Field(description="the answer's status: 200")]
    allow_insecure: Annotated[
        Flag, Field(alias="allow-insecure", description="true: whoever signed the server's certificate")
    ] = False
    no_follow_redirects: Annotated[
        Flag, Field(alias="no-follow-redirects", description="true: a redirect is the answer")
    ] = False
    timeout: Annotated[Milliseconds, Field(description="milliseconds")] = _DEFAULT_TIMEOUT
    request_headers: Annotated[
        tuple[str, ...], Field(alias="request-headers", description='headers to send: "Accept: text/html"')
    ] = ()
    request_body: Annotated[str, Field(alias="request-body", description="body to send")] = ""
    headers: Annotated[ExpectedLines | None, Field(description="patterns for the answer's headers")] = None
    body: Annotated[ExpectedLines | None, Field(description="patterns, or the whole body")] = None
    username: Annotated[str, Field(description="for basic authentication")] = ""
    password: Annotated[str, Field(description="for basic authentication")] = ""
    ca_file: Annotated[str, Field(alias="ca-file", description="trusted certificates, a PEM file of the guest")] = ""
    cert_file: Annotated[str, Field(alias="cert-file", description="the client's certificate, with key-file")] = ""
    key_file: Annotated[str, Field(alias="key-file", description="the client's private key, with cert-file")] = ""
    proxy: Annotated[str, Field(description="URL of a proxy to go through")] = ""
    method: Annotated[str, Field(description="GET, PUT, ...")] = ""


def _url(resource: str, options: HttpOptions) -> str:
    return options.url or resource


def _request(resource: str, options: HttpOptions) -> Request:
    pairs = (header.partition(": ") for header in options.request_headers)
    return Request(
        url=_url(resource, options),
        method=options.method or "GET",
        headers=tuple((name, value) for name, _, value in pairs),
        body=options.request_body,
        user=options.username,
        password=options.password,
        insecure=options.allow_insecure,
        follow=not options.no_follow_redirects,
        ca_file=options.ca_file,
        cert_file=options.cert_file,
        key_file=options.key_file,
        proxy=options.proxy,
        timeout=options.timeout or _DEFAULT_TIMEOUT,
    )


def _url_problem(what: str, url: str) -> str | None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError as exc:
        return f"{what} `{url}` is no URL: {exc}"
    if not good or re.search(r"[\s\x00-\x1f]", url):
        return f"{what} `{url}` is no URL like http://localhost:8080/health"
    return None


def _refuse(resource: str, options: HttpOptions) -> str | None:
    if (problem := _url_problem("this", _url(resource, options))) is not None:
        return problem
    if options.proxy and (problem := _url_problem("proxy", options.proxy)) is not None:
        return problem
    for header in options.request_headers:
        name, colon, value = header.partition(": ")
        if not colon or _TOKEN.fullmatch(name) is None or re.search(r"[\r\n\x00]", value):
            return f"request-headers: `{header}` is no header like `Accept: text/html`"
    if options.method and _TOKEN.fullmatch(options.method) is None:
        return f"method: `{options.method}` is no method like PUT"
    if bool(options.cert_file) is not bool(options.key_file):
        return "cert-file and key-file are used together, or not at all"
    return "a request holds no NUL byte" if "\0" in options.request_body + options.username + options.password else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: tuple[str, ...]
    body: str
    body_bytes: int | None = None
    """How many came of it, with a tool that only carries bytes."""

    def header(self, name: str) -> str:
        """The value of a header, or nothing."""
        return next((line.partition(": ")[2] for line in self.headers if line.startswith(f"{name}: ")), "")


def _answer(fields: Fields) -> _Answer | str:
    """What came back, or why nothing did."""
    tool = fields.values.get("tool")
    if tool is None:
        return "the guest has neither curl, GNU wget nor python3; without TLS, bash or perl would do"
    lines = fields.number("lines")
    contents = (fields.contents or "").split("\n")
    count = lines if isinstance(lines, int) else 0
    head, body = contents[:count], "\n".join(contents[count:])
    head_bytes = 0
    if tool in _BARE:
        raw, *rest = re.split(r"(\r?\n\r?\n)", body, maxsplit=1)
        head, body = raw.split("\n"), "".join(rest[1:])
        head_bytes = _size("".join([raw, *rest[:1]]))
    start = max((number for number, line in enumerate(head) if line.startswith("HTTP/")), default=-1)
    status = re.match(r"HTTP/[\d.]+ (\d{3})", head[start]) if start >= 0 else None
    code = fields.values.get("exit", "")
    if status is None or code not in _ANSWERED.get(tool, {"0"}):
        why = "nothing in time" if code in {"124", "143"} else fields.values.get("trouble") or fields.trouble
        return f"{tool} got no answer: {why}"
    pairs = (line.rstrip("\r").partition(":") for line in head[start + 1 :])
    headers = sorted(f"{_canonical(name)}: {value.strip()}" for name, colon, value in pairs if colon)
    came = fields.number("bytes")
    body_bytes = came - head_bytes if isinstance(came, int) else None
    return _Answer(status=int(status[1]), headers=tuple(headers), body=body, body_bytes=body_bytes)


def _size(text: str) -> int:
    """The bytes that a decoded text was; what was no UTF-8 counts as one."""
    return len(text.encode()) - 2 * text.count("\ufffd")


def _canonical(name: str) -> str:
    """A header's name as Go writes it: Content-Type."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.strip().split("-"))


def _compare(_resource: str, options: HttpOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    answer = _answer(fields)
    if isinstance(answer, _Answer):
        answer = _final(answer, fields.values.get("tool", ""), options)
    if isinstance(answer, str):
        unseen = Unseen(reason=answer)
        values: tuple[int | Unseen, str | Unseen, str | Unseen] = (unseen, unseen, unseen)
    else:
        long = f"the body is longer than the {BODY_BYTES >> 20} MiB that are looked at"
        body = Unseen(reason=long) if "long" in fields.values else answer.body
        values = (answer.status, "\n".join(answer.headers), body)
    yield from judge_existing(
        Attribute(name="status", expected=options.status, actual=values[0]),
        (
            Attribute(name="headers", expected=options.headers, actual=values[1]),
            Attribute(name="body", expected=options.body, actual=values[2]),
        ),
    )


def _final(answer: _Answer, tool: str, options: HttpOptions) -> _Answer | str:
    """The answer, unless it is one that the tool should have gone on from, and could not."""
    where = answer.header("Location")
    bare = tool in _BARE
    if not options.no_follow_redirects and where and answer.status in _REDIRECTS:
        if bare:
            return f"it redirects to {where}, and only curl, GNU wget or python3 in the guest could follow"
        return f"it redirects more than {MOST_REDIRECTS} times, in the end to {where}"
    if bare and "chunked" in answer.header("Transfer-Encoding"):
        return f"the body came in chunks although it was asked for in one piece, and {tool} cannot join them"
    wanted = whole_number(answer.header("Content-Length"))
    has_body = options.method != "HEAD" and answer.status not in _BODILESS
    if bare and has_body and wanted is not None and answer.body_bytes is not None and answer.body_bytes < wanted:
        return f"the answer broke off: {wanted - answer.body_bytes} bytes of its body never came"
    return answer


KIND = ResourceKind(
    name="http",
    summary="what a web server answers when it is asked from inside the guest",
    options=HttpOptions,
    example="http://127.0.0.1:8080/health:\n  status: 200\n  timeout: 5000\n  body: [ok]\n",
    observe=lambda resource, options: probe(_request(resource, options)),
    compare=_compare,
    refusal=_refuse,
    aside=False,
)
