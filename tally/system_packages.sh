#!/bin/sh
# Makes sure of the Debian packages that the embedded database needs: mmdebstrap (makes a private Debian root),
# bubblewrap (runs programs in it), uidmap (lets an ordinary user make it), and the venv module of Python.
# Installs what is missing when it runs as root; otherwise says in one line what an administrator has to install.
# Usage: system_packages.sh PYTHON
set -eu
python=${1:-python3}

packages=
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "tally: Python 3.11 or newer is needed; found: $("$python" --version 2>&1 || true)" >&2
    exit 2
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    packages="$packages $("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
has_timescaledb() { # a PostgreSQL of this machine that tally/embedded/programs.py will find
    for library in /usr/lib/postgresql/*/lib/timescaledb.so; do [ -e "$library" ] && return; done
    return 1
}

if [ -n "${TALLY_DATABASE_URL:-}" ]; then
    : # a database of one's own: nothing else is needed
elif has_timescaledb; then
    [ "$(id -u)" -ne 0 ] || need bwrap bubblewrap # PostgreSQL refuses to run as root
else
    need bwrap bubblewrap
    need mmdebstrap mmdebstrap
    [ "$(id -u)" -eq 0 ] || need newuidmap uidmap
fi
[ -n "$packages" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "tally: missing Debian packages; ask an administrator to run: apt-get install -y$packages" >&2
    exit 2
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "tally: this system has no apt-get; install these (Debian's names) by its own means:$packages" >&2
    exit 2
fi
echo "tally: installing Debian packages:$packages" >&2
export DEBIAN_FRONTEND=noninteractive
# The package lists of a fresh machine are empty or old, so they are fetched first.
apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends $packages >/dev/null || {
    echo "tally: apt-get could not install:$packages" >&2
    exit 2
}
