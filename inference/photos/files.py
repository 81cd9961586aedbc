"""Photos from folders: only what really lies in them, however it is linked, and only plain files.

A path is first compared as text, so that nothing outside the roots is ever touched on a caller's word.  The
file is then opened without being opened for reading (``O_PATH``), which has no effect on what it is, be it a
pipe or a device; its type and its real place are those of that descriptor, and it is that descriptor that is
read, so no link that changes meanwhile matters.  Needs Linux, with /proc.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from inference.errors import BadInput
from inference.photos.reasons import refusal

_CHUNK_BYTES = 1 << 20


class Folders:
    """The roots, and reading below them; every method blocks and may be called by any thread."""

    def __init__(self, roots: tuple[Path, ...], max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._real = tuple(_prefix(root.resolve()) for root in roots)
        self._named = (*(_prefix(root) for root in roots), *self._real)

    def read(self, path: str) -> bytes:
        """The content of a file; ``path`` is absolute and has no dot segments.

        Raises:
            BadInput: ``path_outside_roots``; ``photo_not_found``, also of what may not be read, is no plain
                file, or is a link out; ``photo_too_large``.
        """
        name = path.encode()
        if not name.startswith(self._named):
            raise refusal("path_outside_roots", "the file's path is not below a folder that photos come from")
        try:
            place = os.open(name, os.O_PATH | os.O_CLOEXEC)
            try:
                return self._read_place(place)
            finally:
                os.close(place)
        except OSError as error:
            raise _not_found() from error

    def _read_place(self, place: int) -> bytes:
        link = f"/proc/self/fd/{place}"
        if not os.fsencode(Path(link).readlink()).startswith(self._real):
            raise _not_found()
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise _not_found()
        if status.st_size > self._max_bytes:
            raise self._too_large()
        descriptor = os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return self._read_all(descriptor)
        finally:
            os.close(descriptor)

    def _read_all(self, descriptor: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> BadInput:
        return refusal("photo_too_large", f"the photo has more than {self._max_bytes} bytes")


def _prefix(folder: Path) -> bytes:
    return os.fsencode(folder) + b"/"


def _not_found() -> BadInput:
    return refusal("photo_not_found", "there is no such photo that may be read")
