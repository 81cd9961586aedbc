"""Proof that a log misbehaves, kept as files: two checkpoints of one size, signed by it, with two roots."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

FOLDER: Final = "forks"
MOST: Final = 100
"""Our choice: one fork is enough, and whoever has the log's key could fill the disk with them."""
_OFFERED: Final = ".offered.note"
_COSIGNED: Final = ".cosigned.note"


class Evidence:
    """The pairs that were kept in a folder, at most ``MOST``; a pair that comes again is kept once."""

    def __init__(self, state_folder: Path) -> None:
        self._folder = state_folder / FOLDER

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return len(list(self._folder.glob(f"[!.]*{_OFFERED}")))

    def keep(self, offered: str, cosigned: str) -> Path | None:
        """Keep a pair: what was offered, signed by the log, and what had been cosigned before.

        Returns:
            The file of what was offered (the other lies beside it), or None if there are enough already.

        Raises:
            OSError: they can't be written.
        """
        text, _, _ = offered.rpartition("\n\n")
        name = sha256(f"{text}\n\n{cosigned}".encode()).hexdigest()[:32]
        path = self._folder / f"{name}{_OFFERED}"
        if path.exists():
            return path
        if self.count >= MOST:
            return None
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A crash in between leaves the first alone; the log's next attempt, or none, completes the pair.
        _write(self._folder / f"{name}{_COSIGNED}", cosigned)
        _write(path, offered)
        return path


def _write(path: Path, text: str) -> None:
    """A whole file or none, on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    for folder in (path.parent, path.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
