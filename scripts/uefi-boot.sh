#!/bin/sh
# Boots an image under UEFI, serial port on this terminal, without changing the image:
#   scripts/uefi-boot.sh IMAGE [OPTIONS OF `metallize boot`]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
command=$root/.venv/bin/metallize
[ -x "$command" ] || command=metallize
image=${1:?"usage: $0 IMAGE"}
shift
exec "$command" boot "$image" --machine ovmf "$@"
