"""A private Debian root with the programs that the stack runs, made once, shared by a user's checkouts.

The system is not touched: mmdebstrap unpacks Debian packages into an archive, and what the programs need of
it (/usr and /etc, no device, no set-user-ID bit, everything owned by the caller) is unpacked into the cache
folder. A root is named by a digest of its recipe, built beside its final name under a lock and renamed into
place, so: two builders at once make it once; a build that was killed leaves a folder that the next builder
removes; a finished root never changes, and other recipes live beside it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tally.errors import MissingPrograms, TallyError
from tally.files import locked, remove_tree
from tally.processes import bound_to_parent

SUITE: Final = "trixie"
PACKAGES: Final = ("postgresql-17", "postgresql-17-timescaledb", "prometheus", "prometheus-alertmanager")
_KEPT: Final = ("./usr", "./etc", "./bin", "./lib", "./lib64", "./sbin")
_LEFT_OUT: Final = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./usr/share/info/*")
_MUST_HAVE: Final = ("usr/lib/postgresql/17/bin/postgres", "usr/lib/postgresql/17/lib/timescaledb.so")


def _recipe() -> str:
    text = "\n".join(("1", SUITE, *PACKAGES, *_KEPT, *_LEFT_OUT))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def root_path(cache: Path) -> Path:
    """Where the root of the present recipe is, or will be."""
    return cache / "roots" / f"{SUITE}-{_recipe()}"


def ensure_root(cache: Path, say: Callable[[str], None]) -> Path:
    """The root's path; makes it first if need be, in about half a minute.

    Raises:
        MissingPrograms: mmdebstrap, bubblewrap or uidmap have to be installed by an administrator.
        TallyError: the packages could not be fetched or unpacked; the message names the log.
    """
    root = root_path(cache)
    if root.is_dir():
        return root
    _check_tools()
    waiting = "waiting for another process that makes the private Debian root"
    with locked(root.with_suffix(".lock"), lambda: say(waiting)):
        if root.is_dir():  # another process made it while this one waited
            return root
        for leftover in root.parent.glob(f"{root.name}.building-*"):
            remove_tree(leftover)
        say("making a private Debian root with TimescaleDB (once, about half a minute)")
        building = root.with_name(f"{root.name}.building-{secrets.token_hex(4)}")
        building.mkdir()
        try:
            _build(building, root.with_suffix(".log"))
            building.rename(root)
        finally:
            remove_tree(building)
    return root


def _check_tools() -> None:
    tools = {"mmdebstrap": "mmdebstrap", "bwrap": "bubblewrap"}
    if os.geteuid() != 0:
        tools["newuidmap"] = "uidmap"
    missing = [package for tool, package in tools.items() if shutil.which(tool) is None]
    if missing:
        raise MissingPrograms(
            f"the embedded database needs Debian packages: apt-get install {' '.join(missing)}"
            " (or set TALLY_DATABASE_URL to a PostgreSQL that has TimescaleDB)"
        )


def _build(target: Path, log: Path) -> None:
    """Unpack the packages into ``target``.  A crash leaves ``target``, which the next builder removes."""
    bootstrap = ["mmdebstrap", "--variant=apt", f"--include={','.join(PACKAGES)}", SUITE, "-"]
    if os.geteuid() == 0:
        # In a mount namespace of its own, what mmdebstrap mounts while it works ends with it, even by
        # SIGKILL.
        bootstrap = ["unshare", "--mount", "--", bootstrap[0], "--mode=root", *bootstrap[1:]]
    else:
        bootstrap.insert(1, "--mode=unshare")
    unpack = ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-C", str(target)]
    unpack += [f"--exclude={pattern}" for pattern in _LEFT_OUT] + ["--wildcards", *_KEPT]
    with log.open("wb") as output:
        # On SIGTERM mmdebstrap removes its temporary folder and signals its process group: hence its own.
        source = subprocess.Popen(
            bound_to_parent(bootstrap, signal.SIGTERM),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            process_group=0,
        )
        assert source.stdout is not None
        try:
            sink = subprocess.run(
                bound_to_parent(unpack), stdin=source.stdout, stdout=output, stderr=output, check=False
            )
        except BaseException:
            source.terminate()
            raise
        finally:
            source.stdout.close()
            status = source.wait()
    if status != 0 or sink.returncode != 0:
        raise TallyError(f"the private Debian root could not be made: {_reason(log)} (log: {log})")
    missing = [name for name in _MUST_HAVE if not (target / name).exists()]
    if missing:
        raise TallyError(f"the private Debian root lacks {', '.join(missing)} (log: {log})")


def _reason(log: Path) -> str:
    """The first error that mmdebstrap or tar wrote, else the last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
    errors = [line for line in lines if line.startswith(("E:", "tar:", "newuidmap:", "unshare:"))]
    return (errors or lines[-1:])[0].removeprefix("E: ")
