# shellcheck shell=bash
# Set-up shared by scripts/quickstart, scripts/test and scripts/check: host packages, Docker engine, virtual environment.
#
# Source it; it defines functions and three variables, and changes nothing by itself:
#   METALLIZE_ROOT   the checkout
#   METALLIZE_VENV   the virtual environment (default: .venv in the checkout)
#   PATH             with the sbin folders that a plain user's PATH lacks
#
#   setup_host SCRIPT [ARGS...]   packages and engine; SCRIPT is started anew when this login lacks group docker
#   setup_test_packages           what only the tests need
#   setup_venv                    virtual environment, from requirements/dev.lock
#
# Each looks before it acts, so that a second run touches nothing and takes no time.
# METALLIZE_SKIP_SETUP=1 turns all of it off.

METALLIZE_ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)"
METALLIZE_VENV="${METALLIZE_VENV:-$METALLIZE_ROOT/.venv}"
case "$METALLIZE_VENV" in
  /*) ;;
  *) METALLIZE_VENV="$PWD/$METALLIZE_VENV" ;;
esac
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

ENGINE_LOG=/var/log/metallize-dockerd.log
ENGINE_SOCKET=/var/run/docker.sock
ENGINE_SECONDS=90
APT_LOCK_SECONDS=300
APT_UPDATED=no
OLDEST_PYTHON=3.11

say() { printf '==> %s\n' "$*" >&2; }

# die MESSAGE [NEXT STEP...]
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  next: %s\n' "$@" >&2
  exit 3
}

# Prints the comment at the head of a script, which is its help text.
show_help() {
  sed -n -e 1d -e '/^#/!q' -e 's/^# \{0,1\}//p' "$1"
}

has() { command -v "$1" >/dev/null 2>&1; }

# as_root WHY COMMAND...
as_root() {
  local why="$1"
  shift
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif has sudo; then
    sudo "$@" || return
  else
    die "root is needed to $why, and there is no sudo here" "as root, run: $*" "then start this again"
  fi
}

# ---------------------------------------------------------------- packages

# The first interpreter that is new enough and can make a virtual environment.
find_python() {
  local name
  for name in "${METALLIZE_PYTHON:-}" python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$name" ] || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
      "$name" -c 'import ensurepip, venv' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# No pipe into `grep -q` here: with pipefail, the writer that it cuts off would count as a failure.
apt_has() {
  case "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" in
    *Package:*) return 0 ;;
    *) return 1 ;;
  esac
}

# The package that brings a Python this project runs on: the distribution's own where it is new enough.
python_package() {
  local version name
  version="$(apt-cache policy python3 2>/dev/null | sed -n 's/^  Candidate: //p')"
  if [ "${version:-(none)}" != '(none)' ] && dpkg --compare-versions "$version" ge "$OLDEST_PYTHON"; then
    echo python3-venv
    return
  fi
  for name in python3.13-venv python3.12-venv python3.11-venv; do
    if apt_has "$name"; then
      echo "$name"
      return
    fi
  done
  echo python3.11-venv
}

has_systemd() { [ -d /run/systemd/system ]; }

# True where a docker command on PATH can build with BuildKit: built in before 23, by the buildx plugin since.
docker_can_build() {
  local cli major
  while IFS= read -r cli; do
    major="$("$cli" --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\).*/\1/p')"
    [ -n "$major" ] || continue
    if [ "$major" -lt 23 ] || "$cli" buildx version >/dev/null 2>&1; then
      return 0
    fi
  done < <(type -aP docker | awk '!seen[$0]++')
  return 1
}

# Is docker's own edition installed here, beside which the distribution's must not be put?
has_docker_ce() { [ "$(dpkg-query -W -f '${db:Status-Status}' docker-ce 2>/dev/null)" = installed ]; }

has_ovmf() {
  local file
  for file in /usr/share/OVMF/OVMF_CODE*.fd /usr/share/qemu/OVMF*.fd /usr/share/edk2/x64/OVMF_CODE*.fd; do
    [ ! -e "$file" ] || return 0
  done
  return 1
}

# What the host lacks, one word a line: a package; `?package` where the distribution may not have it; `python`.
missing_packages() {
  find_python >/dev/null || echo python
  has qemu-system-x86_64 || echo qemu-system-x86
  has qemu-system-aarch64 || echo qemu-system-arm
  has qemu-img || echo qemu-utils
  has mcopy || echo mtools
  has fsck.fat || echo dosfstools
  emulators
  has_ovmf || echo ovmf
  [ -e /usr/share/AAVMF/AAVMF_CODE.fd ] || echo '?qemu-efi-aarch64'
  # Guests whose sshd is hardened are spoken to by OpenSSH's own client.
  has ssh || echo openssh-client
  has swtpm || echo '?swtpm'
  if ! has mmdebstrap; then
    echo mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo '?debian-archive-keyring'
    [ -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ] || echo '?ubuntu-keyring'
  fi
  # By these mmdebstrap knows which suites are Ubuntu's, and which key signs a distribution that is not the host's.
  [ -e /usr/share/distro-info/ubuntu.csv ] || echo '?distro-info-data'
  has gpg || echo '?gpg'
  # The tests try each probe with each tool that a guest may have.
  has curl || echo curl
  has wget || echo wget
  has openssl || echo openssl
  has perl || echo perl
  [ "$(id -u)" -eq 0 ] || has newuidmap || echo uidmap
  if has_docker_ce; then
    has docker || echo docker-ce-cli
    docker_can_build || echo docker-buildx-plugin
  else
    if ! has dockerd && [ -z "${DOCKER_HOST:-}" ] && [ ! -S "$ENGINE_SOCKET" ]; then
      printf '%s\n' docker.io '?docker-cli' '?docker-buildx' iptables
    elif ! docker_can_build; then
      # Debian 12's docker.io has a command that builds by itself; later ones split it off.
      printf '%s\n' '?docker-cli' '?docker-buildx'
      has docker && [ ! -e /usr/bin/docker ] && echo docker.io
      has docker || echo docker.io
    fi
    if has dockerd && ! has iptables; then
      echo iptables
    fi
  fi
}

# What runs programs of the architecture that this host is not, in containers and for mmdebstrap.
emulators() {
  has "qemu-$(foreign_machine)-static" || has "qemu-$(foreign_machine)" || echo '?qemu-user-static'
  has update-binfmts || echo '?binfmt-support'
  has arch-test || echo '?arch-test'
}

foreign_machine() { if [ "$(uname -m)" = aarch64 ]; then echo x86_64; else echo aarch64; fi; }

apt_update() {
  local output waited=0
  [ "$APT_UPDATED" = no ] || return 0
  APT_UPDATED=yes
  say "Refreshing the package lists (apt-get update)"
  while ! output="$(as_root 'refresh the package lists' apt-get update -o "DPkg::Lock::Timeout=$APT_LOCK_SECONDS" 2>&1)"; do
    case "$output" in
      *'Could not get lock'*)
        [ "$waited" -lt "$APT_LOCK_SECONDS" ] || die "another package manager holds apt's lists" "wait for it to end"
        [ "$waited" -gt 0 ] || say "Waiting for another package manager to release apt's lists"
        sleep 5
        waited=$((waited + 5))
        ;;
      *)
        # One repository out of many may be out of reach; what matters is whether the install works.
        printf '%s\n' "$output" | tail -n 5 >&2
        say "apt-get update did not end well; going on with the lists there are"
        return 0
        ;;
    esac
  done
}

apt_install() {
  as_root "install $*" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends -o "DPkg::Lock::Timeout=$APT_LOCK_SECONDS" "$@" >&2 </dev/null
}

setup_packages() {
  local word wanted=() packages=()
  mapfile -t wanted < <(missing_packages)
  [ "${#wanted[@]}" -gt 0 ] || return 0
  if ! has apt-get; then
    die "missing on this host: ${wanted[*]#\?}; only apt is known to this script" \
      "install what gives you python3 (>= $OLDEST_PYTHON), qemu-system-x86_64, qemu-system-aarch64, qemu-img, OVMF, mtools, dosfstools, mmdebstrap, docker with buildx," \
      "and for other architectures' images: qemu-user-static, binfmt-support and arch-test"
  fi
  for word in "${wanted[@]}"; do
    case "$word" in
      python) ;;
      *) apt_has "${word#\?}" || apt_update ;;
    esac
  done
  if [ "${wanted[0]}" = python ] && ! apt_has "$(python_package)"; then
    apt_update
  fi
  for word in "${wanted[@]}"; do
    case "$word" in
      python) packages+=("$(python_package)") ;;
      \?*) ! apt_has "${word#\?}" || packages+=("${word#\?}") ;;
      *) packages+=("$word") ;;
    esac
  done
  for word in "${packages[@]}"; do
    apt_has "$word" ||
      die "apt knows no package $word" "enable the repository that has it (on Ubuntu: universe), then start this again"
  done
  [ "${#packages[@]}" -gt 0 ] || return 0
  say "Installing what is missing: ${packages[*]}"
  if ! apt_install "${packages[@]}"; then
    [ "$APT_UPDATED" = no ] || die "apt-get could not install ${packages[*]}" "see its last lines above"
    apt_update
    apt_install "${packages[@]}" || die "apt-get could not install ${packages[*]}" "see its last lines above"
  fi
  hash -r
}

# What the tests alone need, one package a line: a registry of images, and the clients that read a release.
missing_test_packages() {
  has docker-registry || echo docker-registry
  has skopeo || echo skopeo
  has bmaptool || echo bmap-tools
  has gpg || echo gpg
  has softhsm2-util || echo softhsm2
  has pkcs11-tool || echo opensc
  has osslsigncode || echo osslsigncode
  has sbverify || echo sbsigntool
  has aarch64-linux-gnu-as || echo binutils-aarch64-linux-gnu
  has zsh || echo zsh
  has_pull || echo systemd-container
  has lxc || echo lxd-client
  has mtree || echo mtree-netbsd
  has bsdtar || echo libarchive-tools
}

has_pull() { [ -e /usr/lib/systemd/systemd-pull ]; }

# Installs them. The registry's package starts it as a service, for the whole network: no longer.
setup_test_packages() {
  [ "${METALLIZE_SKIP_SETUP:-}" != 1 ] && has apt-get || return 0
  local word packages=()
  for word in $(missing_test_packages); do
    apt_has "$word" || [ "$APT_UPDATED" = yes ] || apt_update
    if apt_has "$word"; then
      packages+=("$word")
    else
      say "apt knows no package $word: the tests that need it are left out"
    fi
  done
  [ "${#packages[@]}" -gt 0 ] || return 0
  say "Installing what the tests need: ${packages[*]}"
  apt_install "${packages[@]}" || die "apt-get could not install ${packages[*]}" "see its last lines above"
  hash -r
  case " ${packages[*]} " in
    *" docker-registry "*)
      if has_systemd; then
        as_root 'stop the registry that its package started' systemctl disable --now docker-registry >&2 || true
      elif has service; then
        as_root 'stop the registry that its package started' service docker-registry stop >&2 || true
      fi
      ;;
  esac
}

# ---------------------------------------------------------------- emulation

BINFMT=/proc/sys/fs/binfmt_misc

# Is the emulator registered, and held open (flag F), so that containers, which do not see it, can use it?
emulation_works() {
  case "$(cat "$BINFMT/qemu-$(foreign_machine)" 2>/dev/null)" in
    enabled*flags:*F*) return 0 ;;
    *) return 1 ;;
  esac
}

# Foreign programs run through the kernel's binfmt_misc. Without it everything for this host's own architecture still
# builds and boots, so that a host that does not allow it is told so, and set-up goes on.
setup_emulation() {
  local name
  name="qemu-$(foreign_machine)"
  emulation_works && return
  if [ ! -e "$BINFMT/register" ]; then
    say "Mounting binfmt_misc at $BINFMT, through which $(foreign_machine) programs run here"
    as_root 'mount binfmt_misc' mount -t binfmt_misc binfmt_misc "$BINFMT" || true
  fi
  if [ -e "$BINFMT/register" ] && ! emulation_works; then
    say "Registering $name with the kernel (update-binfmts --enable $name)"
    as_root "register $name" update-binfmts --enable "$name" >&2 || true
  fi
  emulation_works ||
    say "This host cannot run $(foreign_machine) programs (no $BINFMT/$name with flag F): images for that" \
      "architecture cannot be built here; everything else can"
}

# ---------------------------------------------------------------- engine

# answers | denied | silent
engine_state() {
  local output
  if output="$(timeout 30 docker version --format '{{.Server.Version}}' 2>&1)"; then
    echo answers
  else
    case "$output" in
      *'permission denied'*) echo denied ;;
      *) echo silent ;;
    esac
  fi
}

# Does a process of this name run? (pgrep is not on every small system.)
process_runs() {
  local file
  for file in /proc/[0-9]*/comm; do
    if [ "$(cat "$file" 2>/dev/null)" = "$1" ]; then
      return 0
    fi
  done
  return 1
}

# True when it answers its owner; an engine that is still starting may deny, at first, those whom it will admit.
engine_answers_root() {
  case "$(engine_state)" in
    answers) return 0 ;;
    silent) return 1 ;;
    *) as_root 'ask the Docker engine' timeout 30 docker version >/dev/null 2>&1 ;;
  esac
}

# engine_comes_up SECONDS [PROCESS]: waits until it answers, or PROCESS is gone
engine_comes_up() {
  local end=$((SECONDS + $1))
  until engine_answers_root; do
    [ "$SECONDS" -lt "$end" ] || return 1
    [ $# -eq 1 ] || process_runs "$2" || return 1
    sleep 1
  done
}

has_engine_service() { [ -x /etc/init.d/docker ] && has service; }

show_engine_log() {
  local file
  for file in "$ENGINE_LOG" /var/log/docker.log; do
    if [ -s "$file" ]; then
      printf -- '--- the last lines of %s:\n' "$file" >&2
      as_root 'read the log' tail -n 15 "$file" >&2 || true
      return 0
    fi
  done
}

start_engine() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST" "start that engine, or unset DOCKER_HOST to use this host's"
  fi
  if has_systemd && systemctl cat docker.service >/dev/null 2>&1; then
    say "Starting the Docker engine (systemctl start docker)"
    as_root 'start the Docker engine' systemctl start docker ||
      die "systemd could not start the Docker engine" "read: journalctl -u docker -n 50"
    engine_comes_up "$ENGINE_SECONDS" ||
      die "the Docker engine did not answer within $ENGINE_SECONDS s" "read: journalctl -u docker -n 50"
    return
  fi
  if process_runs dockerd; then
    say "A dockerd runs but does not answer yet; waiting for it"
    engine_comes_up "$ENGINE_SECONDS" dockerd && return
    process_runs dockerd && {
      show_engine_log
      die "dockerd runs but did not answer within $ENGINE_SECONDS s" "stop it, then start this again"
    }
  fi
  # What an engine that was killed leaves behind would keep a new one from starting.
  if ! process_runs containerd; then
    as_root 'remove what a killed engine left' rm -f /var/run/docker.pid /var/run/docker-ssd.pid \
      /var/run/docker/containerd/containerd.pid
  else
    as_root 'remove what a killed engine left' rm -f /var/run/docker.pid /var/run/docker-ssd.pid
  fi
  if has_engine_service; then
    say "Starting the Docker engine (service docker start)"
    if as_root 'start the Docker engine' service docker start >&2 </dev/null &&
      engine_comes_up 30 dockerd; then
      return
    fi
  fi
  if ! process_runs dockerd; then
    say "Starting the Docker engine (dockerd, detached; its log is $ENGINE_LOG)"
    # shellcheck disable=SC2016  # the inner shell expands
    as_root 'start the Docker engine' \
      sh -c 'setsid nohup dockerd >"$1" 2>&1 </dev/null & sleep 1' sh "$ENGINE_LOG"
  fi
  engine_comes_up "$ENGINE_SECONDS" dockerd && return
  show_engine_log
  die "the Docker engine did not come up" \
    "mend what its log says above (where iptables failed: update-alternatives --set iptables /usr/sbin/iptables-legacy)" \
    "inside a container, use the host's engine: mount its $ENGINE_SOCKET, or set DOCKER_HOST"
}

quoted() {
  local word
  for word in "$@"; do
    printf "'%s' " "${word//\'/\'\\\'\'}"
  done
}

# Starts SCRIPT anew with the engine's group, which a login from before it was given does not have.
enter_engine_group() {
  local user group own member
  user="$(id -un)"
  group="$(stat -c %G "$ENGINE_SOCKET" 2>/dev/null || echo docker)"
  own="$(id -gn)"
  if [ -n "${METALLIZE_IN_GROUP:-}" ] || [ "$group" = root ]; then
    die "$user may not talk to the Docker engine ($ENGINE_SOCKET belongs to group $group)" \
      "log out and in again, or run this as root"
  fi
  case " $(id -nG "$user") " in
    *" $group "*) member=yes ;;
    *) member=no ;;
  esac
  if [ "$member" = no ]; then
    say "Adding $user to group $group, whose members may use the Docker engine (as good as root on this host)"
    as_root "add you to group $group" usermod -aG "$group" "$user" ||
      die "$user could not be added to group $group" "as root, run: usermod -aG $group $user"
  fi
  has sg || die "this login is not in group $group yet" "log out and in again, then start this again"
  say "Going on as a member of group $group; logins from now on are in it by themselves"
  export METALLIZE_IN_GROUP=1
  # The outer sg adds the group, the inner one makes your own the primary one again: files keep their owner.
  exec sg "$group" -c "exec sg $(quoted "$own")-c $(quoted "exec $(quoted "$@")")"
}

# setup_host SCRIPT [ARGS...]
setup_host() {
  [ "${METALLIZE_SKIP_SETUP:-}" != 1 ] || return 0
  setup_packages
  setup_emulation
  # A socket that this user may not open says nothing about the engine behind it: the group comes first.
  if [ "$(engine_state)" = denied ] && [ -z "${METALLIZE_IN_GROUP:-}" ]; then
    enter_engine_group "$@"
  fi
  if [ "$(engine_state)" != answers ]; then
    start_engine
  fi
  if [ "$(engine_state)" = denied ]; then
    enter_engine_group "$@"
  fi
  docker_can_build ||
    die "no docker command here can build with BuildKit" "install the buildx plugin (docker-buildx or docker-buildx-plugin)"
}

# ---------------------------------------------------------------- virtual environment

# What the environment was made from and for; when any of it changes, it is made anew.
venv_stamp() {
  printf 'venv %s\nroot %s\n' "$METALLIZE_VENV" "$METALLIZE_ROOT"
  "$METALLIZE_VENV/bin/python" -c 'import sys; print("python", sys.version.split()[0], sys.base_prefix)' 2>/dev/null
}

inputs_stamp() {
  (cd "$METALLIZE_ROOT" && sha256sum requirements/dev.lock pyproject.toml)
}

venv_pip() {
  local log="$METALLIZE_VENV/metallize-setup.log"
  "$METALLIZE_VENV/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    "$@" >>"$log" 2>&1 </dev/null && return
  tail -n 15 "$log" >&2
  return 1
}

# Whether it is another checkout's own, by a link or by its name: of a copy, or of a checkout that was moved, the stamp
# names a place that is another or gone. Python clears what a link leads to, and then makes nothing there.
foreign_venv() {
  local stamp="$METALLIZE_VENV/metallize-setup.stamp" venv root
  [ ! -L "$METALLIZE_VENV" ] || return 0
  [ -f "$stamp" ] || return 1
  venv="$(sed -n 's/^venv //p' "$stamp")"
  root="$(sed -n 's/^root //p' "$stamp")"
  [ ! "$root" -ef "$METALLIZE_ROOT" ] && [ -d "$root" ] && [ "$venv" -ef "$METALLIZE_VENV" ]
}

make_venv() {
  local python
  python="$(find_python)" ||
    die "no Python >= $OLDEST_PYTHON that can make virtual environments" \
      "on Debian or Ubuntu, install python3-venv (python3.11-venv where python3 is older)" \
      "or name an interpreter in METALLIZE_PYTHON"
  if [ -e "$METALLIZE_VENV" ] && [ ! -e "$METALLIZE_VENV/pyvenv.cfg" ] &&
    [ -n "$(ls -A "$METALLIZE_VENV" 2>/dev/null)" ]; then
    die "$METALLIZE_VENV exists and is no virtual environment" "move it away, or name another in METALLIZE_VENV"
  fi
  if foreign_venv; then
    die "$METALLIZE_VENV is a link, or the environment of another checkout, which would lose it" \
      "set METALLIZE_SKIP_SETUP=1 to use it as it is, or METALLIZE_VENV to have one made elsewhere"
  fi
  say "Making the virtual environment $METALLIZE_VENV with $python"
  "$python" -m venv --clear "$METALLIZE_VENV" || die "$python -m venv failed" "see its message above"
}

setup_venv() {
  local stamp="$METALLIZE_VENV/metallize-setup.stamp" lock
  # What is started from here may keep what Python compiled: that takes longer than all else that a short command does.
  unset PYTHONDONTWRITEBYTECODE
  [ "${METALLIZE_SKIP_SETUP:-}" != 1 ] || return 0
  # Two runs at once in one checkout take turns; the lock goes with the file descriptor.
  exec {lock}<"$METALLIZE_ROOT"
  flock "$lock"
  if [ "$( (venv_stamp && inputs_stamp) 2>/dev/null)" != "$(cat "$stamp" 2>/dev/null)" ] ||
    [ ! -x "$METALLIZE_VENV/bin/metallize" ]; then
    if [ "$(venv_stamp)" != "$(head -n 3 "$stamp" 2>/dev/null)" ]; then
      make_venv
    fi
    rm -f "$stamp"
    say "Installing the pinned packages of requirements/dev.lock"
    venv_pip --require-hashes --no-deps --only-binary :all: -r "$METALLIZE_ROOT/requirements/dev.lock" ||
      die "pip could not install the pinned packages" "see its last lines above; all of it is in $METALLIZE_VENV/metallize-setup.log"
    venv_pip --no-deps --no-build-isolation -e "$METALLIZE_ROOT" ||
      die "pip could not install metallize itself" "see its last lines above; all of it is in $METALLIZE_VENV/metallize-setup.log"
    { venv_stamp && inputs_stamp; } >"$stamp"
  fi
  exec {lock}<&-
}

# The environment's Python; with METALLIZE_SKIP_SETUP=1 and no environment, the one on PATH.
venv_python() {
  if [ -x "$METALLIZE_VENV/bin/python" ]; then
    echo "$METALLIZE_VENV/bin/python"
  elif [ "${METALLIZE_SKIP_SETUP:-}" = 1 ] && has python3; then
    command -v python3
  else
    die "there is no virtual environment at $METALLIZE_VENV" "run scripts/test --fast once without METALLIZE_SKIP_SETUP"
  fi
}
