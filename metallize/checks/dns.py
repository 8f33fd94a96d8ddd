"""dns: whether a name resolves from the guest, by its own resolver or by a server that is asked directly.

A server is asked by datagrams that are made here: the guest only carries them, so it needs no dig.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote
from typing import Annotated, Any

from pydantic import Field, model_validator

from metallize.checks.claims import Attribute, Fields, Unseen, judge_existing, read_fields
from metallize.checks.decoding import Expected, ExpectedBool
from metallize.checks.dns_message import TYPES, BadMessage, answers, question, reverse_name
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.checks.probing import limited, patience, seconds, split_host_port
from metallize.model.kind import Milliseconds, Retrying

_DEFAULT_TIMEOUT = 500
_ATTEMPTS = 3
"""As goss: an attempt without an answer is repeated, one that is answered 'no such name' is not."""
_IDENTITY = 0x6D7A
_RESOLVER_SAYS_NO = 2
"""getent(1): a key was not found."""


class DnsOptions(Retrying):
    """The attributes of one name; its key is the name, or TYPE:name for the records of one type."""

    resolve: Annotated[str | None, Field(description="the name, where the key is only a label")] = None
    resolvable: Annotated[ExpectedBool, Field(description="there are addresses, or records of the type")]
    addrs: Annotated[Expected | None, Field(description="the addresses, or the records' texts, sorted")] = None
    server: Annotated[
        str | None, Field(min_length=1, description="a server to ask directly, host or host:port; a type needs one")
    ] = None
    timeout: Annotated[Milliseconds, Field(description="milliseconds for each of three attempts")] = _DEFAULT_TIMEOUT

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, raw: Any) -> Any:
        """`resolveable` is goss 0.2's spelling, which goss still reads."""
        if isinstance(raw, dict) and "resolveable" in raw and "resolvable" not in raw:
            return {("resolvable" if key == "resolveable" else key): value for key, value in raw.items()}
        return raw


def _split(resource: str, options: DnsOptions) -> tuple[str, str]:
    """The type, empty where none is named, and the name."""
    match = re.fullmatch(r"(?:([A-Z]+):)?(.*)", options.resolve or resource, re.DOTALL)
    return (match[1] or "", match[2]) if match is not None else ("", "")


def _questions(resource: str, options: DnsOptions) -> tuple[tuple[str, bytes], ...]:
    """The records to ask for: addresses of both families where no type is named."""
    record, name = _split(resource, options)
    name = reverse_name(name) if record == "PTR" else name
    return tuple((each, question(name, each, _IDENTITY)) for each in ((record,) if record else ("A", "AAAA")))


def _refuse(resource: str, options: DnsOptions) -> str | None:
    record, name = _split(resource, options)
    if record and record not in TYPES:
        return f"records of the type {record} are not known; these are: {', '.join(sorted(TYPES))}"
    if record and options.server is None:
        return f"a type of record needs `server`: without it only addresses can be asked for (write {name})"
    if not name or re.search(r"[\s\x00]", name) or name.startswith("-"):
        return f"`{name}` is no name of the DNS"
    if options.server is not None and split_host_port(options.server, "53") is None:
        return f"server `{options.server}` is no host or host:port"
    try:
        _questions(resource, options)
    except ValueError as exc:
        return str(exc)
    return None


_PERL = r"""
use IO::Socket::IP; use IO::Select; use Socket qw(SOCK_DGRAM);
my ($h, $p, $t, $n, @q) = @ARGV;
for my $i (0 .. $#q) {
  my $s = IO::Socket::IP->new(PeerHost => $h, PeerService => $p, Type => SOCK_DGRAM);
  unless ($s) { print "trouble $@\n"; next }
  for (1 .. $n) {
    my $b = "";
    $s->send(pack("H*", $q[$i]));
    next unless IO::Select->new($s)->can_read($t);
    unless (defined $s->recv($b, 65535)) { print "trouble $!\n"; next }
    print "answer.$i ", unpack("H*", $b), "\n"; last;
  }
}
"""
_PYTHON = r"""
import socket, sys
h, p, t, n, *questions = sys.argv[1:]
for i, q in enumerate(questions):
    for _ in range(int(n)):
        try:
            f, k, o, _, to = socket.getaddrinfo(h, p, 0, socket.SOCK_DGRAM)[0]
            with socket.socket(f, k, o) as s:
                s.settimeout(float(t))
                s.connect(to)
                s.send(bytes.fromhex(q))
                print("answer.%d" % i, s.recv(65535).hex())
                break
        except socket.timeout:
            pass
        except OSError as e:
            print("trouble", e)
"""
# A question goes out in one write, however many line breaks are in it: dd collects it first.
_BASH = r"""
h=$1 p=$2 t=$3 n=$4; shift 4; i=0
for q; do
  for ((a = 0; a < n; a++)); do
    exec 3<>"/dev/udp/$h/$p" || break
    printf '%b' "$(printf %s "$q" | sed 's/../\\x&/g')" | dd bs=4096 iflag=fullblock status=none >&3
    r=$(timeout "$t" dd bs=65535 count=1 status=none <&3 | od -An -v -tx1 | tr -d ' \n')
    exec 3>&-
    if [ -n "$r" ]; then echo "answer.$i $r"; break; fi
  done
  i=$((i + 1))
done
"""


def _observe(resource: str, options: DnsOptions) -> str:
    limit = options.timeout or _DEFAULT_TIMEOUT
    longer = patience(2 * _ATTEMPTS * limit)
    if options.server is None:
        name = quote(_split(resource, options)[1])
        return f"""{longer}command -v getent >/dev/null || exit 0
echo "tool getent"
for n in 1 2 3; do
  a=$({limited(limit)} getent ahosts {name} 2>&1); s=$?
  case $s in 124|143) continue;; esac
  break
done
echo "status $s"
[ $s -eq 0 ] && printf '%s\\n' "$a" | while read -r address _; do echo "addr.$address x"; done
:"""
    host, port = split_host_port(options.server, "53") or ("", "")
    hexadecimal = " ".join(message.hex() for _, message in _questions(resource, options))
    end = f"{quote(host)} {quote(port)} $s {_ATTEMPTS} {hexadecimal}"
    return f"""{longer}s={seconds(limit)}
if command -v perl >/dev/null && perl -MIO::Socket::IP -e 1 2>/dev/null; then
  echo "tool perl"; perl -e {quote(_PERL)} {end}
elif command -v python3 >/dev/null; then
  echo "tool python3"; python3 -c {quote(_PYTHON)} {end}
elif command -v bash >/dev/null && command -v timeout >/dev/null && command -v od >/dev/null; then
  echo "tool bash"; bash -c {quote(_BASH)} bash {end}
fi
:"""


def _by_resolver(fields: Fields) -> tuple[tuple[str, ...] | Unseen, str]:
    if "tool" not in fields.values:
        return Unseen(reason="looking a name up needs getent in the guest"), ""
    status = fields.number("status")
    if isinstance(status, Unseen):
        return status, ""
    if status not in {0, _RESOLVER_SAYS_NO}:
        return Unseen(reason="the guest's resolver did not answer in time"), ""
    found = {name.removeprefix("addr.").partition("%")[0] for name in fields.values if name.startswith("addr.")}
    return tuple(sorted(found)), "" if found else "the guest's resolver knows no address"


def _by_server(fields: Fields, records: tuple[str, ...], server: str) -> tuple[tuple[str, ...] | Unseen, str]:
    if "tool" not in fields.values:
        return Unseen(reason="asking a server needs perl, python3 or bash with timeout in the guest"), ""
    found: list[str] = []
    notes: list[str] = []
    for number, record in enumerate(records):
        reply = fields.values.get(f"answer.{number}")
        if reply is None:
            why = fields.values.get("trouble", "no answer in time")
            return Unseen(reason=f"the server {server} was not heard: {why}"), ""
        try:
            said = answers(bytes.fromhex(reply), record, _IDENTITY)
        except ValueError as exc:
            reason = str(exc) if isinstance(exc, BadMessage) else "the reply was garbled on its way"
            return Unseen(reason=reason), ""
        found += said.answers
        notes += [said.trouble] if said.trouble and said.trouble not in notes else []
    note = "; ".join(notes) or ("" if found else f"the server {server} has no such record")
    return tuple(sorted(found)), note


def _compare(resource: str, options: DnsOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    if options.server is None:
        found, note = _by_resolver(fields)
    else:
        records = tuple(record for record, _ in _questions(resource, options))
        found, note = _by_server(fields, records, options.server)
    resolvable = found if isinstance(found, Unseen) else bool(found)
    yield from judge_existing(
        Attribute(name="resolvable", expected=options.resolvable, actual=resolvable, note=note),
        (Attribute(name="addrs", expected=options.addrs, actual=found, note=note),),
    )


KIND = ResourceKind(
    name="dns",
    summary="a name resolves from the guest, to which addresses or records",
    options=DnsOptions,
    example="localhost:\n  resolvable: true\n  addrs: [127.0.0.1]\n  timeout: 2000\n",
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
)
