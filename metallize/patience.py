"""How long anybody waits, for what, and by whose clock: one table.

A slow host stretches most of it, by its measured slowness; what the guest's own timers decide it does not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Clock(StrEnum):
    """By which clock a time is counted."""

    PLAIN = "as clocks run"
    STRETCHED = "on a host of normal speed: a slow one stretches it"
    GUEST = "on a host of normal speed, and of a guest that only waits on any host"


class Wait(float):
    """Seconds, with the clock that they are counted by and what they are for."""

    clock: Clock
    why: str

    def __new__(cls, seconds: float, clock: Clock, why: str) -> Self:
        wait = super().__new__(cls, seconds)
        wait.clock, wait.why = clock, why
        return wait


# console/findings.py
FINDINGS_SETTLE = Wait(0.5, Clock.PLAIN, "After a fatal line, for the lines that explain it.")
FINDINGS_PANIC_LINE = Wait(
    1.5,
    Clock.PLAIN,
    "After QEMU's word of a panic, for the console's, which goes another way and may be behind a flood.",
)
FINDINGS_BLOCK = Wait(0.9, Clock.PLAIN, "After a fatal line with which a block begins, until its end is seen.")
FINDINGS_PROMPT_QUIET = Wait(1.0, Clock.PLAIN, "A prompt is a line after which nothing comes for so long.")
FINDINGS_LOGIN_QUIET = Wait(0.4, Clock.PLAIN, "A login prompt, whose words no line but a prompt ends with.")
FINDINGS_STALL_GRACE = Wait(
    15.0,
    Clock.STRETCHED,
    "On a host of normal speed; a boot that gets to another stage, or prints a job's progress, is no stall.",
)
FINDINGS_RESTART_GRACE = Wait(
    3.0,
    Clock.STRETCHED,
    "After a second banner of a kernel, on a host of normal speed: a kernel's log that somebody prints is"
    " over by then.",
)

# qemu/qmp.py
QMP_HEARD_OUT = Wait(2.0, Clock.PLAIN, "After QEMU has ended, for what it said last: that a guest switched itself off.")

# release/fetching/web.py
FETCH_SILENCE = Wait(30.0, Clock.PLAIN, "A server that sends nothing for so long is taken for gone.")
FETCH_ANSWER = Wait(60.0, Clock.PLAIN, "So soon an answer's headers must be there, however they drip.")
FETCH_SLOW = Wait(60.0, Clock.PLAIN, "Within so long a server has to send more than next to nothing.")
FETCH_AGAIN = Wait(2.0, Clock.PLAIN, "Before a connection that broke is made again.")

# release/registry/access.py
REGISTRY_CONNECT = Wait(10.0, Clock.PLAIN, "So long a registry is called that does not take up.")
REGISTRY_ANSWER = Wait(300.0, Clock.PLAIN, "So long an answer may take: a registry hashes a whole image at its end.")
REGISTRY_AGAIN = Wait(1.0, Clock.PLAIN, "Before a request is made again whose line broke.")

# release/registry/repository.py
REGISTRY_HALF_WRITTEN = Wait(0.2, Clock.PLAIN, "Until the file is whole that somebody else writes in a registry.")

# release/registry/lock.py
REGISTRY_SETTLED = Wait(
    4.0, Clock.PLAIN, "After a lock was written, for the writes of others who have seen it free as well."
)

# console/flood.py
FLOOD_END = Wait(2.0, Clock.PLAIN, "A flood has ended when so long less than that was printed.")
FLOOD_WAIT = Wait(
    120.0,
    Clock.STRETCHED,
    "On a host of normal speed: so long in all the end of floods is waited for, whatever they print.",
)

# console/port.py
PORT_WRITE = Wait(10.0, Clock.PLAIN, "So long a guest that takes no input is waited for.")

# console/progress.py
PROGRESS_LONG_SILENCE = Wait(5.0, Clock.PLAIN, "From when on it is looked at whether a silent guest works or waits.")

# console/stages.py
STAGES_JOB_GRACE = Wait(
    60.0,
    Clock.STRETCHED,
    "After a job's own limit, or after a job with none was shown last: for what comes when it has ended.",
)

# shells/dialogue.py
DIALOGUE_SETTLED = Wait(
    0.25,
    Clock.PLAIN,
    "What ends a text, a prompt, counts once nothing has followed it for so long.",
)
DIALOGUE_PLAIN_PROMPT = Wait(
    0.1,
    Clock.PLAIN,
    "One whose words can hardly be the beginning of something else, which a program writes in one go.",
)
DIALOGUE_LAST_LOOK = Wait(0.1, Clock.PLAIN, "So near the end of a wait a prompt counts as it stands.")
DIALOGUE_NUDGE = Wait(
    2.0,
    Clock.PLAIN,
    "getty throws away what is typed before its prompt: a newline asks for it again when nothing came for so long.",
)
DIALOGUE_BUSY = Wait(
    5.0,
    Clock.PLAIN,
    "A console that was never quiet for NUDGE_SECONDS in so long is busy: nobody need wait for that any more.",
)

# shells/login.py
LOGIN_ODD_PROMPT = Wait(
    6.0,
    Clock.GUEST,
    "After the password, on a host of normal speed: longer than login(1) waits before it says that it was wrong.",
)
LOGIN_NO_PROMPT = Wait(
    2.0,
    Clock.GUEST,
    "After the user's name, on a host of normal speed: what was printed till then is looked at for a "
    "prompt that somebody wrote over, and for a getty that began anew.",
)
LOGIN_NOT_YET = Wait(2.0, Clock.GUEST, "between two attempts while logins are not allowed yet")
LOGIN_PROMPT = Wait(15.0, Clock.GUEST, "for a prompt of a login")
LOGIN_ANSWER = Wait(
    25.0,
    Clock.GUEST,
    "How long a prompt or an answer may take on a host of normal speed, and of a guest that only waits on any host.",
)

# shells/openssh.py
OPENSSH_LOGIN = Wait(35.0, Clock.GUEST, "for OpenSSH's client to log in")
OPENSSH_SHELL = Wait(20.0, Clock.GUEST, "for the shell behind OpenSSH's client")
OPENSSH_LOOK = Wait(0.02, Clock.PLAIN, "between two looks at what the client says")

# shells/serial.py
SERIAL_STUCK = Wait(
    3.0,
    Clock.STRETCHED,
    "On a host of normal speed: an answer that has begun and comes no further was cut.",
)
SERIAL_ASK = Wait(
    30.0,
    Clock.STRETCHED,
    "On a host of normal speed: after so long the guest is asked whether the script has ended; then in twice the time.",
)

# shells/ssh.py
SSH_HANDSHAKE = Wait(15.0, Clock.GUEST, "for the handshake of SSH")
SSH_LOGIN = Wait(20.0, Clock.GUEST, "for the login of SSH")
SSH_SHELL = Wait(
    20.0,
    Clock.GUEST,
    "Each as the seconds in which the guest may only wait, or as a host of normal speed takes.",
)
SSH_PAUSE = Wait(1.5, Clock.STRETCHED, "Before another attempt, on a host that is not slow.")

# shells/ssh_banner.py
SSH_BANNER_RETRY = Wait(0.2, Clock.PLAIN, "between two attempts where the guest itself refuses")
SSH_BANNER_NEXT_ATTEMPT = Wait(
    1.0,
    Clock.PLAIN,
    "A connection that waits may be one whose packets were lost before the network was up: another is "
    "begun beside it, and the time to the next is doubled. slirp keeps even those that are closed here, "
    "and hands all of them to the guest once its network is up; sshd then holds it against their address "
    "that they never log in (PerSourcePenalties).",
)
SSH_BANNER_NETWORK = Wait(
    0.2,
    Clock.STRETCHED,
    "From the network card's start to an address, on a host of normal speed.",
)
SSH_BANNER_LATEST_START = Wait(
    30.0,
    Clock.STRETCHED,
    "After userspace began, on a host of normal speed, for a machine that does not tell when its card starts.",
)
SSH_BANNER_OTHER = Wait(
    5.0,
    Clock.STRETCHED,
    "On a host of normal speed: so long something else than SSH must be said, again and again, to be all "
    "that there is.",
)
SSH_BANNER_LINE = Wait(5.0, Clock.STRETCHED, "On a host of normal speed: for the first line, once it has begun.")
SSH_BANNER_PART = Wait(0.02, Clock.PLAIN, "for the rest of a line that came in parts")

# shells/ssh_connection.py
SSH_CONNECTION_LOOK = Wait(0.1, Clock.PLAIN, "between two looks at a step of the connection")

# verify/beside.py
BESIDE_LOOK = Wait(
    0.5,
    Clock.PLAIN,
    "How long a signal may wait until the waiting thread sees it, where the kernel gives it to another.",
)
BESIDE_AGAIN = Wait(
    15.0,
    Clock.PLAIN,
    "A thread that has not ended by then was asked in a moment that swallowed it (a destructor), and is asked again.",
)

# verify/course.py
COURSE_DRAIN = Wait(
    60.0,
    Clock.STRETCHED,
    "For what may yet prove to be a failure at the end of a boot, on a host of normal speed.",
)

# verify/evidence.py
EVIDENCE_EVIDENCE = Wait(10.0, Clock.STRETCHED, "For the guest's logs, on a host of normal speed.")

# verify/looks/observer.py
OBSERVER_RETRY = Wait(8.0, Clock.GUEST, "for assertions that do not hold yet")
OBSERVER_LONGEST_PAUSE = Wait(
    3.0,
    Clock.PLAIN,
    "Between two looks: each takes an emulated guest as long as what it waits for might.",
)

# verify/patience.py, verify/ways_in.py
WAYS_IN_OTHER_WAY = Wait(
    20.0,
    Clock.GUEST,
    "How long the other way in may still take, on a host of normal speed, when one way in has shown all.",
)
WAYS_IN_SSH_LEAD = Wait(
    6.0,
    Clock.GUEST,
    "So much longer than the serial shell SSH may take before the serial shell is used to observe.",
)
WAYS_IN_SSH_ALONE = Wait(
    130.0,
    Clock.GUEST,
    "After the login prompt, where SSH is the only way in: sshd may wait for systemd-networkd-wait-"
    "online(8), and that gives up after 120 s.",
)

# verify/phases/actions.py
ACTIONS_LOGIN = Wait(30.0, Clock.STRETCHED, "For a new login over SSH after an action, on a host of normal speed.")

# verify/phases/groups.py
GROUPS_GROUP = Wait(
    120.0,
    Clock.STRETCHED,
    "For the second looks of one group's assertions, on a host of normal speed.",
)
GROUPS_DRAIN = Wait(
    60.0,
    Clock.STRETCHED,
    "For what may yet prove to be a failure when a group has ended, on a host of normal speed.",
)

# verify/phases/update.py
UPDATE_LOOK = Wait(60.0, Clock.STRETCHED, "for what is asked of a system before and after its update, on its own")
UPDATE_DRAIN = Wait(60.0, Clock.STRETCHED, "for what may yet prove to be a failure of an updated system")

# verify/phases/power_cut.py
POWER_CUT_AT_LEAST = Wait(0.5, Clock.PLAIN, "so long a guest writes before its power is cut")

# verify/phases/prompt.py
PROMPT_SEEN = Wait(3.0, Clock.GUEST, "How long to look on after that at the least, on a host of normal speed.")

# verify/phases/reach.py
REACH_DEFAULT = Wait(10.0, Clock.GUEST, "for a target of boot.reach that names no time")
REACH_OVERTIME = Wait(60.0, Clock.PLAIN, "A last attempt that has begun in time may end so much later.")
REACH_LONGEST_PAUSE = Wait(8.0, Clock.PLAIN, "between two attempts at a target of boot.reach")
REACH_HELD = Wait(0.5, Clock.PLAIN, "A connection that the guest has taken counts when it is not cut within so long.")
REACH_LOOK = Wait(0.1, Clock.PLAIN, "between two looks at what QEMU says of a connection")

# verify/phases/reboot.py
REBOOT_REBOOT = Wait(60.0, Clock.STRETCHED, "from asking for a reboot to the reset")

# verify/phases/refusal.py
REFUSAL_LEAST = Wait(
    2.0,
    Clock.STRETCHED,
    "So long at the least, on a host of normal speed, a refusal must be the end.",
)

# verify/phases/rest.py
REST_LOOK = Wait(
    20.0,
    Clock.STRETCHED,
    "For the second look, on a host of normal speed: a shell that has answered once answers soon, or not at all.",
)

# verify/phases/snapshots.py
SNAPSHOTS_SAVE = Wait(90.0, Clock.STRETCHED, "for QEMU to save or put back a guest")
SNAPSHOTS_SHELL = Wait(20.0, Clock.STRETCHED, "for a new connection to a guest that was put back")
SNAPSHOTS_CLOCK = Wait(5.0, Clock.STRETCHED, "So far the guest's clock may be from where it should be.")
SNAPSHOTS_OLDEST = Wait(
    150.0,
    Clock.PLAIN,
    "An emulated CPU's time stamp counter never runs backwards (QEMU softmmu/cpu-timers.c, "
    "cpu_ticks_prev): put back, the guest sees all the time since it was saved pass at once. systemd's "
    "own services bear three minutes (WatchdogSec=3min).",
)

# verify/phases/system.py
SYSTEM_SETTLE = Wait(
    90.0,
    Clock.STRETCHED,
    "So long the system may take to settle once somebody is logged in, on a host of normal speed.",
)
SYSTEM_LEAST_SETTLE = Wait(10.0, Clock.STRETCHED, "So long it may take at the least, once somebody is in.")

# verify/session.py
SESSION_STEPS_GRACE = Wait(30.0, Clock.PLAIN, "Each console step ends at its own time, and needs a moment to say so.")

# verify/ticker.py
TICKER_TICK = Wait(30.0, Clock.PLAIN, "between two words to whoever waits for a boot")

# verify/ways_in.py
WAYS_IN_JOIN = Wait(30.0, Clock.PLAIN, "Each way in ends at the deadline by itself, and needs a moment to say so.")

# verify/why/rescue.py
RESCUE_RESCUE = Wait(8.0, Clock.STRETCHED, "For everything, on a host of normal speed.")
RESCUE_LONGEST = Wait(40.0, Clock.PLAIN, "On any host.")

# verify/wire.py
WIRE_SILENT = Wait(
    10.0,
    Clock.PLAIN,
    "After so long in which nothing came the attempt is given up; another may do better.",
)
WIRE_LOOK = Wait(0.2, Clock.PLAIN, "between two looks at the watch while something is read")

# night/fleet
DEPOT_SILENCE = Wait(60.0, Clock.PLAIN, "Who says nothing in the middle of an image for so long is taken for gone.")
DEPOT_ANSWER = Wait(10.0, Clock.PLAIN, "So soon it has to be answered whether somebody waits for a boot still.")
FLEET_LOOK = Wait(2.0, Clock.PLAIN, "between two looks of a worker at whether somebody waits for its boot still")
FLEET_GONE = Wait(120.0, Clock.PLAIN, "A night's host that does not answer a worker for so long has ended.")
FLEET_CONNECT = Wait(10.0, Clock.PLAIN, "So long a scheduler has to answer whoever connects.")
FLEET_AGAIN = Wait(
    180.0, Clock.PLAIN, "A scheduler that was lost is looked for so long before the night is left unfinished."
)
FLEET_NOBODY = Wait(
    60.0, Clock.PLAIN, "After so long without a worker that can take it a cell is given up: workers come back."
)
FLEET_RESULT = Wait(30.0, Clock.PLAIN, "What a worker has brought to its end is told within so long, or it was lost.")
