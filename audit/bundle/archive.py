"""A folder as a ZIP archive whose bytes depend on the files alone: order, times and rights are fixed."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Final

_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that the format can say."""
_LEVEL: Final = 3
"""Of deflate: half of what rows take is hashes, which no level packs."""
_UNIX: Final = 3
_PACKED_ALREADY: Final = {".parquet", ".xlsx", ".pdf"}


def member_names(folder: Path) -> list[str]:
    """The files of a folder, in the order of an archive."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def write_archive(folder: Path, place: Path) -> None:
    """Write the archive, durable and whole when it is there.

    A crash within leaves ``place`` as it was, and a file that ends in ``.part``, which the next call writes
    anew.

    Raises:
        OSError: it can't be written.
    """
    part = place.with_name(f"{place.name}.part")
    try:
        with part.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for name in member_names(folder):
                    _add(archive, folder / name, name)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    info = zipfile.ZipInfo(name, _BEGINNING)
    info.create_system = _UNIX
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if path.suffix in _PACKED_ALREADY else zipfile.ZIP_DEFLATED
    info._compresslevel = _LEVEL  # type: ignore[attr-defined]  # noqa: SLF001 - open() takes none
    info.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)
