"""Small files written whole or not at all, locks that end with their holder, and safe removal of trees."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tally.errors import TallyError


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace ``path`` by a file with ``text``.  A crash leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on ``path`` until its last copy is closed; None if held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on ``path`` inside the block; ``on_wait`` is called if another process has it now."""
    descriptor = try_lock(path)
    if descriptor is None:
        on_wait()
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder without ever going into something mounted there, such as a host's /dev."""
    if not path.exists():
        return
    result = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise TallyError(f"{path} could not be removed: {result.stderr.strip().splitlines()[-1]}")


def secret(path: Path) -> str:
    """The secret in ``path``; if there is none, a new random one (192 bits, URL-safe), stored mode 0600.

    Two callers at once get the same secret: the file appears complete (link(2)), and the first one stays.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        write_atomically(temporary, secrets.token_urlsafe(24), mode=0o600)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass  # another process was first: its secret is the one
        finally:
            temporary.unlink()
    return path.read_text(encoding="utf-8").strip()
