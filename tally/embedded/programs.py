"""Find the programs of a PostgreSQL that has TimescaleDB, and tell how to run them.

In this order: binaries on this machine (Debian's and Ubuntu's /usr/lib/postgresql/*/bin, then PATH) that have
the extension; else a private Debian root.  PostgreSQL refuses to run as root, so for root, and always for the
private root, programs run in bubblewrap: own user, process and IPC namespaces, a private /dev, /proc and
/tmp, and nothing writable but the folders named.  When the process that started bubblewrap ends, so does
everything in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tally.embedded.debian_root import ensure_root
from tally.errors import MissingPrograms

_OLDEST_MAJOR: Final = 15
_DEBIAN_BINARIES: Final = Path("/usr/lib/postgresql")
_ROOT_BINARIES: Final = Path("/usr/lib/postgresql/17/bin")
_EXTENSION: Final = "timescaledb"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are: ``bin_dir`` inside ``root``, or of this machine where ``root`` is None.

    ``own_proc``: the sandbox has a /proc of its own; some containers forbid that, and PostgreSQL needs none.
    """

    bin_dir: Path
    root: Path | None
    sandboxed: bool
    own_proc: bool = True

    def command(self, arguments: Sequence[str], *, writable: Sequence[Path] = ()) -> list[str]:
        """The command line that runs ``arguments``; paths in them are those of the host.

        A sandboxed program is process 1 of its namespace: when it ends, everything that it started ends too.
        """
        if not self.sandboxed:
            return list(arguments)
        sandbox = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
        user, group = _database_user((self.root or Path("/")) / "etc/passwd")
        sandbox += ["--uid", user, "--gid", group, "--die-with-parent"]
        if self.root is None:
            sandbox += ["--ro-bind", "/", "/"]
        else:
            for folder in ("usr", "etc"):
                sandbox += ["--ro-bind", str(self.root / folder), f"/{folder}"]
            for link in ("bin", "sbin", "lib", "lib64"):
                sandbox += ["--symlink", f"usr/{link}", f"/{link}"]
        sandbox += ["--proc", "/proc"] if self.own_proc else ["--tmpfs", "/proc"]
        sandbox += ["--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]  # noqa: S108 - the sandbox's own
        for folder_path in writable:
            sandbox += ["--bind", str(folder_path), str(folder_path)]
        return [*sandbox, "--chdir", "/", "--setenv", "LANG", "C.UTF-8", "--", *arguments]


def find_programs(cache: Path, say: Callable[[str], None]) -> Programs:
    """The programs to use on this machine; makes the private root if there are no others.

    Raises:
        MissingPrograms: an administrator has to install something; the message says what.
        TallyError: the private root could not be made.
    """
    as_root = os.geteuid() == 0
    local = local_binaries()
    if local is not None and not (as_root and shutil.which("bwrap") is None):
        programs = Programs(local, None, sandboxed=as_root)
    else:
        programs = Programs(_ROOT_BINARIES, ensure_root(cache, say), sandboxed=True)
    return _that_work(programs) if programs.sandboxed else programs


def local_binaries(debian: Path = _DEBIAN_BINARIES) -> Path | None:
    """This machine's newest PostgreSQL that has TimescaleDB, or None."""
    candidates = sorted(debian.glob("*/bin"), key=lambda path: (len(path.parent.name), path.parent.name))
    on_path = shutil.which("postgres")
    if on_path is not None:
        candidates.insert(0, Path(on_path).resolve().parent)
    return next((path for path in reversed(candidates) if _has_timescaledb(path)), None)


def _has_timescaledb(bin_dir: Path) -> bool:
    if not all((bin_dir / name).is_file() for name in ("postgres", "initdb", "pg_config")):
        return False
    answer = subprocess.run(
        [str(bin_dir / "pg_config"), "--version", "--pkglibdir", "--sharedir"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode != 0:
        return False
    version, library, share = answer.stdout.splitlines()
    major = int("".join(ch if ch.isdigit() else " " for ch in version).split()[0])
    control = Path(share) / "extension" / f"{_EXTENSION}.control"
    return major >= _OLDEST_MAJOR and (Path(library) / f"{_EXTENSION}.so").is_file() and control.is_file()


def _database_user(passwd: Path) -> tuple[str, str]:
    """User and group id that PostgreSQL runs under inside: ``postgres`` of that system, else ``nobody``."""
    entries = [
        line.split(":") for line in passwd.read_text(encoding="utf-8").splitlines() if line.count(":") == 6
    ]
    by_name = {entry[0]: (entry[2], entry[3]) for entry in entries}
    return by_name.get("postgres") or by_name.get("nobody") or ("65534", "65534")


def _that_work(programs: Programs) -> Programs:
    """The programs, in a sandbox that can be made here.

    Raises:
        MissingPrograms: none can, as where the kernel forbids user namespaces.
    """
    if shutil.which("bwrap") is None:
        raise MissingPrograms("the embedded database runs in bubblewrap: apt-get install bubblewrap")
    complaint = ""
    for candidate in (programs, replace(programs, own_proc=False)):
        trial = subprocess.run(
            candidate.command([str(candidate.bin_dir / "postgres"), "--version"]),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if trial.returncode == 0:
            return candidate
        complaint = complaint or (trial.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise MissingPrograms(
        f"bubblewrap can't make a sandbox here ({complaint}); allow unprivileged user namespaces, install"
        " a PostgreSQL that has TimescaleDB, or set TALLY_DATABASE_URL"
    )
