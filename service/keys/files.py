"""New files for keys and what is said of them: never over another file, and on disk when a call returns."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ledger.notes import SigningKey
from service.errors import KeyUnusable


def new_signing_key(name: str, kind: int) -> SigningKey:
    """A key of 32 bytes from the system's source of chance.

    Raises:
        BadNote: the name can't be a key's.
    """
    return SigningKey(name, kind, secrets.token_bytes(32))


def store_signing_key(path: Path, key: SigningKey) -> None:
    """Write a key to a new file that only this user can read, from its first byte on.

    Raises:
        KeyUnusable: there is such a file, or it can't be written.
    """
    write_new(path, key.to_text() + "\n", 0o600)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a new file.

    Raises:
        KeyUnusable: there is such a file, or it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise KeyUnusable(f"{path} exists and is never written over: give another name") from error
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no path"
        raise KeyUnusable(f"{path} can't be written ({said}): give a file in a folder of yours") from error
    # A crash from here on leaves an empty or cut file, which is no key; remove it and begin anew.
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        _sync(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyUnusable(f"{path} can't be written ({error.strerror}); nothing is left of it") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # not every file system syncs folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
