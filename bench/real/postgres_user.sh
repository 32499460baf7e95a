#!/bin/sh
# Runs a program of PostgreSQL, which refuses to run as root, as the user that Debian made for it.
#
# Usage: postgres_user.sh PROGRAM [ARGUMENT...]
# That user gets the right to pass folders that are closed to it: this repository, and with it the
# allocator to preload, may lie below /root.
set -eu

[ "$(id -u)" -eq 0 ] || exec "$@"
exec setpriv --reuid=postgres --regid=postgres --clear-groups \
  --inh-caps=+dac_override --ambient-caps=+dac_override "$@"
