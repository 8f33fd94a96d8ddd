#!/bin/sh
# Runs a Docker engine of a Debian root in namespaces of its own, until whoever started it has gone.
#
# usage: engine.sh keep NAME ROOT SITE UID    with the pid of its parent in KEEPER_FOR
#
#   NAME   of the control group that its containers are in
#   ROOT   a Debian root with docker.io in it; nothing is written there
#   SITE   the engine's own folder, which it sees under the same path and which is removed in the end: daemon.json is
#          its configuration, and docker.sock appears in it
#   UID    0 for an engine of root's, else that of an ordinary user, for a rootless one
#
# Nothing of it is in the host's namespaces but slirp4netns's sockets: mounts, bridges, rules and processes all end with
# the first process in it, and that ends with the keeper, however that ends.
set -eu
mode=$1 name=$2 root=$3 site=$4 uid=$5

# Removes the control groups, the inner ones first; fails while there are some.
forget_groups() {
  find /sys/fs/cgroup -depth -type d -path "*/$name*" -exec rmdir {} \; 2>/dev/null || true
  [ -z "$(find /sys/fs/cgroup -type d -path "*/$name*" 2>/dev/null)" ]
}

end() {
  trap '' TERM INT HUP
  # With the engine's first process all the others of its PID namespace are killed, and their mounts go.
  [ -z "$engine" ] || kill -KILL "$engine" 2>/dev/null || true
  wait "$engine" 2>/dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if forget_groups && rm -rf "$site" 2>/dev/null; then break; fi
    sleep 0.5
  done
  exit 0
}

keep() {
  engine=
  trap end TERM INT HUP
  setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc \
    sh "$0" enter "$name" "$root" "$site" "$uid" </dev/null &
  engine=$!
  # A parent that had gone before this process asked to be told of it.
  [ "$(awk '$1 == "PPid:" { print $2 }' /proc/$$/status)" = "$KEEPER_FOR" ] || end
  wait "$engine" || true
  end
}

# The first process of the PID namespace: makes the engine's root its own.
enter() {
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 tmpfs "$site/system"
  cd "$site/system"
  mkdir lower upper work merged
  mount --bind "$root" lower # whose name may be any
  mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
  cd merged
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
  mount --rbind /dev dev
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mkdir -p ".$site"
  mount --bind "$site" ".$site"
  if [ "$uid" = 0 ]; then
    echo 'nameserver 10.0.2.3' >etc/resolv.conf # slirp4netns's own: one on the host's loopback is not reached
  else
    cat /etc/resolv.conf >etc/resolv.conf
  fi
  mkdir .outside
  pivot_root . .outside
  umount -l .outside
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  if [ "$uid" = 0 ]; then as_root; else as_user; fi
}

# A network of its own behind slirp4netns, so that a bridge docker0 is nobody else's.
as_root() {
  # shellcheck disable=SC2016 # the inner shell expands
  unshare --net --mount sh -c '
    set -eu
    mount -t sysfs sysfs /mnt
    mount --rbind /sys/fs/cgroup /mnt/fs/cgroup
    mount --move /mnt /sys
    until [ -e /run/up ]; do sleep 0.1; done
    exec dockerd --config-file "$1/daemon.json" --data-root "$1/data" --cgroup-parent "$2" -H "unix://$1/docker.sock"
  ' sh "$site" "$name" &
  inner=$!
  while [ "$(readlink /proc/$inner/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
  slirp4netns --configure --mtu=65520 --disable-host-loopback --ready-fd=3 $inner tap0 3>/run/ready &
  until [ -s /run/ready ]; do sleep 0.1; done
  : >/run/up
  wait $inner
}

# As its users start it; rootlesskit makes the network. No exec: the signal that comes with the death of unshare is
# forgotten by a process that changes its user (prctl(2), PR_SET_PDEATHSIG).
as_user() {
  useradd --uid "$uid" --create-home builder
  mkdir -m 700 /run/builder
  chown "$uid:$uid" /run/builder
  mount --make-rshared /
  setpriv --reuid "$uid" --regid "$uid" --clear-groups \
    env -i HOME=/home/builder XDG_RUNTIME_DIR=/run/builder PATH="$PATH" \
    sh /usr/share/docker.io/contrib/dockerd-rootless.sh \
    --config-file "$site/daemon.json" --data-root "$site/data" -H "unix://$site/docker.sock" &
  wait $!
}

case "$mode" in
  keep) keep ;;
  enter) enter ;;
esac
