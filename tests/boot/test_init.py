"""From an application's Dockerfile, which stays as it is, to a verified image of one's own, by `metallize init`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from metallize.command import run
from tests.conftest import Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]

DOCKERFILE = """\
# A shop window: what pages/ holds, on port 8080.
FROM scratch AS pages
COPY pages/ /

FROM debian:trixie
RUN apt-get update \\
 && apt-get install -y --no-install-recommends python3 curl \\
 && rm -rf /var/lib/apt/lists/* \\
 && useradd --system shop
COPY --from=pages / /srv/shop
ENV PORT=8080 GREETING="it's here"
WORKDIR /srv/shop
USER shop
EXPOSE 8080
VOLUME /srv/shop/data
HEALTHCHECK --interval=4s --timeout=8s --retries=2 CMD curl --fail --silent "http://localhost:$PORT/" || exit 1
CMD exec python3 -m http.server "$PORT"
"""
STARTED_AGAIN = """\
pid() { systemctl show --value -p MainPID shop; }
old=$(pid); kill -STOP "$old"
for second in $(seq 120); do sleep 1; new=$(pid); [ "$new" = "$old" ] || [ "$new" = 0 ] || exit 0; done
exit 1
"""


@pytest.mark.nightly  # every day from a wheel (test_wheel_end_to_end.py)
def test_an_untouched_dockerfile_becomes_a_verified_image(cli: Cli, tmp_path: Path) -> None:
    app = tmp_path / "shop"
    (app / "pages").mkdir(parents=True)
    (app / "pages/index.html").write_text("tulips\n")
    (app / "Dockerfile").write_text(DOCKERFILE)
    made = cli("init", "--dockerfile", "Dockerfile", "--watchdog", "--ci", "none", "--kind", "vm", "os", cwd=app)
    assert made.status == 0, made.stderr
    assert "next: cd os && metallize build shop.yaml --verify" in made.stdout
    assert (app / "Dockerfile").read_text() == DOCKERFILE
    profile = app / "os/shop.yaml"
    written = yaml.safe_load(profile.read_text())
    assert list(written["boot"]["reach"]) == ["tcp:8080"]
    # A server that hangs is seen by the watchdog alone: systemd would not start it again.
    written["boot"] |= {
        "machines": ["seabios"],
        "reach": {"http://:8080/": {"status": 200, "body": ["tulips"]}},
        "groups": {"hung": {"run": [STARTED_AGAIN], "assert": {"service": {"shop": {"running": True}}}}},
    }
    profile.write_text(yaml.safe_dump(written))
    done = cli("build", "shop.yaml", "--verify", cwd=app / "os")
    assert done.status == 0, done.stderr
    assert "note: shop.dockerfile:" in done.stderr
    assert "EXPOSE configures a container" in done.stderr
    image = app / "os/build/shop.qcow2"
    [machine] = json.loads(Path(f"{image}.verification.json").read_text())["machines"]
    titles = {result["title"]: result["status"] for result in machine["results"]}
    assert set(titles.values()) == {"held"}
    for title in ("service shop", "port tcp:8080", "command shop is healthy", "reach http://:8080/"):
        assert any(title in each for each in titles), titles
    checked = run(["qemu-img", "check", "-f", "qcow2", image])
    assert "0.00% compressed" not in checked.stdout
    # The image that was built is not among what the next layer is made of.
    again = cli("build", "shop.yaml", "--verify", cwd=app / "os")
    assert again.status == 0, again.stderr
    assert "image shop.qcow2 (cached)" in again.stderr or "nothing has changed" in again.stderr
