"""Sabotage of what only a closed world sees: answers that never come, and what happens once a guest was ready."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk
from tests.boot.sabotage.recipe import Failed, Recipe
from tests.boot.sabotage.userspace import own_init

ONLY_FAILS = "#!/bin/sh\nexit 1\n"
LISTS_NOTHING = """\
#!/bin/sh
case "$*" in
  *is-system-running*) echo degraded; exit 1 ;;
  *--state=failed*) exit 0 ;;
esac
exec /usr/bin/systemctl.real "$@"
"""
DROPS = """\
#!/usr/sbin/nft -f
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport 9090 drop
  }
}
"""
ENDLESS = """\
#!/bin/sh
printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\nhello\\n'
while :; do printf 'more and more\\n' || exit; sleep 0.5; done
"""
DRIP = """\
#!/bin/sh
printf 'HTTP/1.1 200 OK\\r\\n'
n=0
while :; do n=$((n + 1)); printf "X-Drip-$n: x\\r\\n" || exit; sleep 1; done
"""
SOCKET = """\
[Unit]
Description=A web server
[Socket]
ListenStream=8080
Accept=yes
[Install]
WantedBy=sockets.target
"""
FALLBACK = """\
set default=0
set fallback=1
set timeout=0
menuentry broken {
  linux /boot/no-such-kernel
}
"""


def replaced_systemctl(disk: Disk, script: str) -> None:
    disk.put("/usr/bin/systemctl.real", disk.read("/usr/bin/systemctl"), mode=0o755)
    disk.put("/usr/bin/systemctl", script, mode=0o755)


def after_the_look(disk: Disk, name: str, then: str, body: str = "") -> None:
    """A service that does something once somebody has begun to look at the guest."""
    looks = 'until [ -n "$(ls -d /run/.metallize.* /dev/shm/.metallize.* 2>/dev/null)" ]; do sleep 0.3; done; sleep 3'
    disk.put(f"/usr/local/sbin/{name}", f"#!/bin/sh\n{looks}\n{then}\n", mode=0o755)
    disk.service(name, f"ExecStart=/usr/local/sbin/{name}\n{body}")


def web_server(disk: Disk, script: str) -> None:
    folder = "/etc/systemd/system"
    disk.put("/usr/local/sbin/web", script, mode=0o755)
    disk.put(f"{folder}/web.socket", SOCKET)
    disk.put(f"{folder}/web@.service", "[Service]\nExecStart=/usr/local/sbin/web\nStandardInput=socket\n")
    disk.link(f"{folder}/sockets.target.wants/web.socket", f"{folder}/web.socket")


def drops(disk: Disk) -> None:
    disk.put("/etc/nftables.conf", DROPS, mode=0o755)
    disk.link("/etc/systemd/system/sysinit.target.wants/nftables.service", "/usr/lib/systemd/system/nftables.service")


def falls_back(disk: Disk) -> None:
    entry = disk.read("/boot/grub/grub.cfg").decode()
    disk.put("/boot/grub/grub.cfg", FALLBACK + entry[entry.index("menuentry") :])


def late_start(disk: Disk) -> None:
    """It fails once, because what it waits for is not there yet."""
    disk.service(
        "late",
        "Type=oneshot\nRemainAfterExit=yes\nRestart=on-failure\nRestartSec=1\n"
        "ExecStart=/bin/sh -c '[ -e /run/once ] || { touch /run/once; exit 1; }'",
    )


LATER = {"settle": "10s"}
HTTP = {"reach": {"http://:8080/": {"status": 200, "timeout": "5s"}}}

RECIPES = (
    Recipe(
        name="systemctl-only-fails",
        summary="systemctl ends with status 1 and says nothing",
        disk=lambda disk: replaced_systemctl(disk, ONLY_FAILS),
        expected=(Failed(stage=Stage.READY, result="systemd runs the system", words=("systemctl",), seconds=20),),
    ),
    Recipe(
        name="degraded-by-nothing",
        summary="the system is degraded, and no unit is listed that has failed",
        disk=lambda disk: replaced_systemctl(disk, LISTS_NOTHING),
        expected=(Failed(stage=Stage.READY, result="system is running", words=("lists no unit",), seconds=20),),
    ),
    Recipe(
        name="firewall-drops-a-reached-port",
        cheap=True,
        summary="the firewall drops what comes for a port that only the host's forwarder accepts",
        disk=drops,
        boot={"reach": {"tcp:9090": {"timeout": "5s"}}},
        expected=(Failed(stage=Stage.READY, result="reach tcp:9090", seconds=30),),
    ),
    Recipe(
        name="http-that-never-ends",
        summary="an HTTP server answers 200 and never ends its answer",
        disk=lambda disk: web_server(disk, ENDLESS),
        boot=HTTP,
        expected=(Failed(stage=Stage.READY, result="reach http", seconds=30),),
    ),
    Recipe(
        name="http-that-drips",
        summary="an HTTP server sends one header a second, for ever",
        disk=lambda disk: web_server(disk, DRIP),
        boot=HTTP,
        expected=(Failed(stage=Stage.READY, result="reach http", seconds=30),),
    ),
    Recipe(
        name="root-turns-read-only",
        summary="the kernel makes the root read-only once its services have started",
        disk=lambda disk: after_the_look(disk, "gives-up", "echo u >/proc/sysrq-trigger; sleep 1000"),
        boot=LATER,
        expected=(
            Failed(
                stage=Stage.READY, result="at the end: the root filesystem", words=("read-only", "before"), seconds=30
            ),
        ),
    ),
    Recipe(
        name="app-dies-once-it-was-seen",
        cheap=True,
        summary="an app dies some seconds after its start, and stays down",
        disk=lambda disk: after_the_look(disk, "shop", "echo 'ValueError: no price' >&2; exit 3"),
        boot=LATER,
        expected=(
            Failed(
                stage=Stage.READY,
                result="unit shop.service",
                words=("ValueError: no price",),
                seconds=30,
            ),
        ),
    ),
    Recipe(
        name="app-is-started-again",
        summary="an app dies some seconds after its start, and is started again",
        disk=lambda disk: after_the_look(disk, "shop", "exit 3", body="Restart=always\nRestartSec=1"),
        boot=LATER,
        expected=(Failed(stage=Stage.READY, result="unit shop.service", words=("since the first look",), seconds=30),),
    ),
    Recipe(
        name="panic-once-it-was-seen",
        summary="the kernel panics some seconds after the guest was ready",
        disk=lambda disk: after_the_look(disk, "boom", "echo c >/proc/sysrq-trigger"),
        boot=LATER,
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-panic|kernel-bug|kernel-oops|guest-panicked"),),
    ),
    Recipe(
        name="switches-itself-off",
        summary="the guest switches itself off some seconds after it was ready",
        disk=lambda disk: after_the_look(disk, "off", "echo o >/proc/sysrq-trigger; sleep 1000"),
        boot=LATER,
        expected=(Failed(stage=Stage.READY, rule="guest-shutdown"),),
    ),
    Recipe(
        name="resets-itself",
        summary="the guest resets itself some seconds after it was ready",
        disk=lambda disk: after_the_look(disk, "again", "echo b >/proc/sysrq-trigger; sleep 1000"),
        boot=LATER,
        expected=(Failed(stage=Stage.READY, rule="unexpected-reset"),),
    ),
    Recipe(
        name="network-goes",
        summary="the network goes down some seconds after the guest was ready",
        disk=lambda disk: after_the_look(
            disk, "unplugged", "for i in /sys/class/net/e*; do ip link set ${i##*/} down; done; sleep 1000"
        ),
        boot=LATER,
        expected=(
            Failed(stage=Stage.READY, result="at the end: systemd runs", words=("no answer",), seconds=60, scaled=True),
        ),
    ),
    Recipe(
        name="killed-when-ready",
        summary="QEMU is killed when the guest is ready",
        kill_at=Stage.READY,
        expected=(Failed(stage=Stage.READY, rule="qemu-ended"),),
    ),
    Recipe(
        name="refused-and-then-booted",
        summary="the first entry of the menu is refused, and the next one boots",
        disk=falls_back,
        boot={"expect": "refused"},
        login=None,
        ssh=None,
        expected=(
            Failed(stage=Stage.KERNEL, rule="not-refused", words=("booted as far as stage kernel",), seconds=20),
        ),
    ),
    Recipe(
        name="typed-at-a-console-without-a-prompt",
        summary="nothing offers a login, and the profile only types",
        disk=lambda disk: disk.mask("serial-getty@ttyS0.service"),
        boot={"steps": [{"send": "<enter>"}], "timeout": 30},
        login=None,
        ssh=None,
        expected=(Failed(stage=Stage.USERSPACE, rule="timeout|silent-console|stage-timeout", seconds=60, scaled=True),),
    ),
    Recipe(
        name="init-that-nobody-declared",
        summary="process 1 is not systemd, and the profile does not say so",
        disk=own_init,
        ssh=None,
        expected=(Failed(stage=Stage.READY, result="systemd runs the system", words=("boot.init",), seconds=20),),
    ),
    Recipe(
        name="systemd-that-nobody-declared",
        summary="the profile declares another init than the one that runs",
        boot={"init": "other"},
        expected=(Failed(stage=Stage.READY, result="systemd runs the system", words=("boot.init",), seconds=20),),
    ),
    Recipe(
        name="asked-again-at-once",
        summary="no time between the two looks; it must pass",
        boot={"settle": "0s"},
    ),
    Recipe(
        name="started-twice-on-the-way-up",
        summary="a service fails once because something is not there yet; it must pass",
        disk=late_start,
        boot={**LATER, "console": {"allow": ["late.service"]}},
    ),
)
