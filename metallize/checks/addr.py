"""addr: whether an address can be reached from the guest, by opening a connection to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_all, read_fields
from metallize.checks.decoding import ExpectedBool
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.checks.probing import patience, seconds, split_host_port
from metallize.model.kind import Milliseconds, ResourceOptions

_DEFAULT_TIMEOUT = 500
_NETWORKS = ("tcp", "tcp4", "tcp6", "udp", "udp4", "udp6")


class AddrOptions(ResourceOptions):
    """The attributes of one address; its key is tcp://host:port or udp://host:port."""

    address: Annotated[str | None, Field(description="the address, where the key is only a label")] = None
    reachable: Annotated[ExpectedBool, Field(description="a connection can be opened")]
    local_address: Annotated[
        str | None, Field(alias="local-address", description="the guest's own address to connect from")
    ] = None
    timeout: Annotated[Milliseconds, Field(description="milliseconds")] = _DEFAULT_TIMEOUT


def _split(resource: str, options: AddrOptions) -> tuple[str, str, str] | None:
    """Network, host and port; tcp where none is named, as in goss."""
    network, scheme, address = (options.address or resource).rpartition("://")
    found = split_host_port(address)
    return (network if scheme else "tcp", *found) if found is not None else None


def _refuse(resource: str, options: AddrOptions) -> str | None:
    found = _split(resource, options)
    if found is None or found[0] not in _NETWORKS:
        return "an address is tcp://host:port or udp://host:port, with [] around an IPv6 host"
    try:
        ipaddress.ip_address(options.local_address or "127.0.0.1")
    except ValueError:
        return f"local-address `{options.local_address}` is no IP address"
    return None


# bash is the fastest, but can choose neither its own address nor the family. The names of the addresses are looked
# up by the guest's own resolver in all three.
_NO = 3
"""What each of them ends with where the address is not reached; another status says that it could not try."""
_BASH = 'exec 3<>"/dev/$1/$2/$3" || exit 3'
_PERL = r"""
use IO::Socket::IP; use Socket qw(AF_INET AF_INET6);
my ($n, $v, $h, $p, $l, $t) = @ARGV;
my $s = IO::Socket::IP->new(PeerHost => $h, PeerService => $p, Proto => $n, Timeout => $t,
  ($v ? (Family => $v == 4 ? AF_INET : AF_INET6) : ()), ($l ne "" ? (LocalHost => $l) : ()));
unless ($s) { $@ =~ s/\s+/ /g; print STDERR "$@\n"; exit 3 }
"""
_PYTHON = r"""
import socket, sys
n, v, h, p, l, t = sys.argv[1:]
family = {"4": socket.AF_INET, "6": socket.AF_INET6}.get(v, 0)
problem = "no address"
try:
    found = socket.getaddrinfo(h, p, family, socket.SOCK_STREAM if n == "tcp" else socket.SOCK_DGRAM)
except OSError as e:
    found, problem = [], str(e)
for f, k, o, _, to in found:
    try:
        s = socket.socket(f, k, o)
        s.settimeout(float(t))
        if l:
            s.bind((l, 0))
        s.connect(to)
        sys.exit(0)
    except OSError as e:
        problem = str(e)
print(problem, file=sys.stderr)
sys.exit(3)
"""


def _observe(resource: str, options: AddrOptions) -> str:
    network, host, port = _split(resource, options) or ("tcp", "", "")
    protocol, version = network[:3], network[3:]
    local = options.local_address or ""
    any_of = "command -v bash >/dev/null && command -v timeout >/dev/null" if not (version or local) else "false"
    end = " ".join(quote(each) for each in (protocol, version, host, port, local))
    limit = options.timeout or _DEFAULT_TIMEOUT
    return f"""{patience(limit)}s={seconds(limit)}
l="timeout $s"; command -v timeout >/dev/null || l=
if {any_of}; then
  echo "tool bash"; e=$($l bash -c {quote(_BASH)} bash {protocol} {quote(host)} {quote(port)} 2>&1)
elif command -v perl >/dev/null && perl -MIO::Socket::IP -e 1 2>/dev/null; then
  echo "tool perl"; e=$($l perl -e {quote(_PERL)} {end} $s 2>&1)
elif command -v python3 >/dev/null; then
  echo "tool python3"; e=$($l python3 -c {quote(_PYTHON)} {end} $s 2>&1)
else exit 0; fi
r=$?
w=$(printf '%s\\n' "$e" | tail -n 1)
case $r in
  0) echo "reachable yes";;
  124|143) echo "reachable no"; echo "why no answer within $s s";;
  {_NO}) case $w in
    */dev/{protocol}/*"No such file"*) echo "reachable this bash opens no connections";;
    *) echo "reachable no"; echo "why $w";;
  esac;;
  *) echo "reachable the look at it ended with status $r: $w";;
esac"""


def _compare(_resource: str, options: AddrOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    needed = "perl or python3" if options.local_address else "bash with timeout, perl or python3"
    reachable = fields.truth("reachable")
    if "tool" not in fields.values:
        reachable = Unseen(reason=observation.stderr.strip() or f"opening a connection needs {needed} in the guest")
    note = fields.values.get("why", "")
    yield from judge_all((Attribute(name="reachable", expected=options.reachable, actual=reachable, note=note),))


KIND = ResourceKind(
    name="addr",
    summary="an address can be reached from the guest, over TCP or UDP",
    options=AddrOptions,
    example="tcp://127.0.0.1:22:\n  reachable: true\n  timeout: 1000\n",
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
)
