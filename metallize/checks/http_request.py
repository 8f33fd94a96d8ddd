"""One HTTP request as a probe: by curl, GNU wget or Python in the guest, and plain HTTP by bash or perl alone.

Each leaves the answer's header in one file and its body in another, and prints both. What a guest cannot do with
what it has (TLS, following a redirect) is told, never guessed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from shlex import quote
from urllib.parse import SplitResult, unquote, urlsplit

from metallize.checks.claims import CONTENTS
from metallize.checks.probing import patience, seconds

USER_AGENT = "goss/0.4.9 (metallize)"
"""goss's own form: what answers goss by its name answers here too."""
BODY_BYTES = 1 << 20
"""Of an answer's body; of a longer one nothing is asserted but its status and its headers."""
MOST_REDIRECTS = 10
"""As Go's client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a server, and how; an empty text is what the profile does not say."""

    url: str
    method: str
    headers: tuple[tuple[str, str], ...]
    body: str
    user: str
    password: str
    insecure: bool
    follow: bool
    ca_file: str
    cert_file: str
    key_file: str
    proxy: str
    timeout: int
    """Milliseconds."""

    @property
    def bare(self) -> str:
        """The URL without user, password and fragment, which are not sent in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password, from the URL where the attributes name none."""
        parts = urlsplit(self.url)
        if self.user or self.password or parts.username is None:
            return self.user, self.password
        return unquote(parts.username), unquote(parts.password or "")

    @property
    def sent_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers with the agent's name, where none is given."""
        named = {name.lower() for name, _ in self.headers}
        return (*self.headers, *(() if "user-agent" in named else (("User-Agent", USER_AGENT),)))


def probe(request: Request) -> str:
    """The snippet: the first tool that the guest has, in the order of what it can do."""
    secure = urlsplit(request.url).scheme == "https" or request.proxy.startswith("https:")
    raw = "" if secure else _raw(request)
    return f"""{patience(request.timeout)}w=$(mktemp -d "${{METALLIZE_SCRATCH:-/tmp}}/http.XXXXXX") || exit 0
: >"$w/h"; : >"$w/b"
s={seconds(request.timeout)}
l="timeout $s"; command -v timeout >/dev/null || l=
if command -v curl >/dev/null; then
  echo "tool curl"
  {_curl(request)} >/dev/null 2>"$w/e"; echo "exit $?"
elif wget --version 2>/dev/null | grep -q '^GNU Wget'; then
  echo "tool wget"
  $l {_wget(request)} 2>"$w/e"; echo "exit $?"
  sed -n 's/^  //p' "$w/e" >"$w/h"
elif command -v python3 >/dev/null; then
  echo "tool python3"
  $l python3 -c {quote(_PYTHON)} {quote(json.dumps(_plain(request)))} $s "$w" 2>"$w/e"; echo "exit $?"
{raw}fi
echo "lines $(wc -l <"$w/h")"
echo "trouble $(tail -n 1 "$w/e" 2>/dev/null | head -c 1000)"
n=$(wc -c <"$w/b"); echo "bytes $((${{n:-0}}))"; [ "${{n:-0}}" -le {BODY_BYTES} ] || echo "long $n"
echo {CONTENTS}
head -c {BODY_BYTES} "$w/h"
head -c {BODY_BYTES} "$w/b"
rm -rf "$w"
"""


def _curl(request: Request) -> str:
    """curl(1): -X only where the method is not what curl would choose, so that a redirect may change it."""
    words = ["curl", "-q", "-g", "-sS", "--max-time", "$s", "-D", '"$w/h"', "-o", '"$w/b"']
    natural = "POST" if request.body else "GET"
    if request.method == "HEAD":
        words.append("--head")
    elif request.method != natural:
        words += ["-X", quote(request.method)]
    if request.body:
        words += ["--data-raw", quote(request.body)]
        if not any(name.lower() == "content-type" for name, _ in request.headers):
            words += ["-H", "Content-Type:"]
    for name, value in request.sent_headers:
        words += ["-H", quote(f"{name}: {value}" if value else f"{name};")]
    words += ["-L", "--max-redirs", str(MOST_REDIRECTS)] if request.follow else []
    words += ["-k"] if request.insecure else []
    user, password = request.credentials
    words += ["-u", quote(f"{user}:{password}")] if user or password else []
    for option, value in (
        ("--cacert", request.ca_file),
        ("--cert", request.cert_file),
        ("--key", request.key_file),
        ("-x", request.proxy),
    ):
        words += [option, quote(value)] if value else []
    return " ".join([*words, "--", quote(request.bare)])


def _wget(request: Request) -> str:
    words = ["wget", "--no-config", "-S", "-t", "1", "-T", "$s", "--content-on-error", "-O", '"$w/b"']
    # On a connection that the server is about to close, a redirect finds no answer.
    words.append("--no-http-keep-alive")
    if request.method != "GET" or request.body:
        words += [quote(f"--method={request.method}")]
    words += [quote(f"--body-data={request.body}")] if request.body else []
    words += [quote(f"--header={name}: {value}") for name, value in request.sent_headers]
    words.append(f"--max-redirect={MOST_REDIRECTS if request.follow else 0}")
    words += ["--no-check-certificate"] if request.insecure else []
    user, password = request.credentials
    if user or password:
        words += [quote(f"--user={user}"), quote(f"--password={password}"), "--auth-no-challenge"]
    for option, value in (
        ("--ca-certificate", request.ca_file),
        ("--certificate", request.cert_file),
        ("--private-key", request.key_file),
    ):
        words += [quote(f"{option}={value}")] if value else []
    for name in ("http_proxy", "https_proxy") if request.proxy else ():
        words += ["-e", "use_proxy=yes", "-e", quote(f"{name}={request.proxy}")]
    return " ".join([*words, "--", quote(request.bare)])


def _plain(request: Request) -> dict[str, object]:
    user, password = request.credentials
    token = base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else ""
    return {
        "url": request.bare,
        "method": request.method,
        "headers": [*request.sent_headers, *([("Authorization", f"Basic {token}")] if token else [])],
        "body": request.body,
        "insecure": request.insecure,
        "follow": request.follow,
        "ca": request.ca_file,
        "cert": request.cert_file,
        "key": request.key_file,
        "proxy": request.proxy,
        "redirects": MOST_REDIRECTS,
    }


_PYTHON = r"""
import json, ssl, sys
from urllib import error, request
o, limit, w = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
class Redirects(request.HTTPRedirectHandler):
    max_redirections = o["redirects"]
    def redirect_request(self, *a):
        return super().redirect_request(*a) if o["follow"] else None
context = ssl.create_default_context(cafile=o["ca"] or None)
if o["insecure"]:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
if o["cert"]:
    context.load_cert_chain(o["cert"], o["key"])
proxies = {"http": o["proxy"], "https": o["proxy"]} if o["proxy"] else None
opener = request.build_opener(Redirects, request.ProxyHandler(proxies), request.HTTPSHandler(context=context))
opener.addheaders = []
asked = request.Request(o["url"], o["body"].encode() or None, method=o["method"])
for name, value in o["headers"]:
    asked.add_header(name, value)
if o["body"] and not asked.has_header("Content-type"):
    asked.add_unredirected_header("Content-type", "")
try:
    answer = opener.open(asked, timeout=limit)
except error.HTTPError as e:
    answer = e
except (OSError, ValueError) as e:
    sys.exit(str(e))
with open(w + "/h", "w", encoding="latin-1") as head:
    head.write("HTTP/1.1 %d %s\n" % (answer.getcode(), answer.msg if isinstance(answer.msg, str) else ""))
    head.writelines("%s: %s\n" % (n, " ".join(v.split())) for n, v in answer.headers.items())
    head.write("\n")
with open(w + "/b", "wb") as body:
    while part := answer.read(65536):
        body.write(part)
if getattr(answer, "length", None):
    sys.exit("the answer broke off: %d bytes of its body never came" % answer.length)
"""
_BASH = 'exec 3<>"/dev/tcp/$1/$2" && printf %s "$3" >&3 && cat <&3'
_PERL = r"""
use IO::Socket::IP;
my ($h, $p, $t, $q) = @ARGV;
my $s = IO::Socket::IP->new(PeerHost => $h, PeerService => $p, Type => SOCK_STREAM, Timeout => $t) or die "$@\n";
print $s $q; $s->flush; local $/ = \65536; print while <$s>;
"""


def _raw(request: Request) -> str:
    """Plain HTTP over a bare connection; HTTP/1.0, so that the body comes in one piece and ends with the stream."""
    asked = urlsplit(request.bare)
    target = request.bare if request.proxy else (asked.path or "/") + (f"?{asked.query}" if asked.query else "")
    user, password = request.credentials
    headers = list(request.sent_headers)
    if not any(name.lower() == "host" for name, _ in headers):
        headers.insert(0, ("Host", asked.netloc))
    if user or password:
        headers.append(("Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"))
    if request.body or request.method not in {"GET", "HEAD"}:
        headers.append(("Content-Length", str(len(request.body.encode()))))
    headers.append(("Connection", "close"))
    lines = [f"{request.method} {target} HTTP/1.0", *(f"{name}: {value}" for name, value in headers)]
    text = quote("\r\n".join([*lines, "", request.body]))
    where = _endpoint(urlsplit(request.proxy) if request.proxy else asked)
    return f"""elif command -v bash >/dev/null; then
  echo "tool bash"
  $l bash -c {quote(_BASH)} bash {where} {text} >"$w/b" 2>"$w/e"; echo "exit $?"
elif command -v perl >/dev/null && perl -MIO::Socket::IP -e 1 2>/dev/null; then
  echo "tool perl"
  $l perl -e {quote(_PERL)} {where} $s {text} >"$w/b" 2>"$w/e"; echo "exit $?"
"""


def _endpoint(parts: SplitResult) -> str:
    return f"{quote(parts.hostname or '')} {parts.port or 80}"
