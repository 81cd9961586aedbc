"""A model version's folder, there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from inference.errors import Conflict, InferenceError


class FolderUnwritable(InferenceError):
    """The models folder can't be written; nothing is left of what was begun."""

    reason = "folder_unwritable"


def write_folder(
    models_dir: Path,
    model_id: str,
    version: str,
    files: Mapping[str, bytes],
    check: Callable[[Path], object],
) -> Path:
    """Write ``<models_dir>/<model_id>/<version>/`` with these files, if ``check`` does not raise on them.

    A crash on the way leaves a folder whose name begins with a dot: no reader takes it for a version, and it
    may be removed.

    Raises:
        Conflict: the version is there already.
        FolderUnwritable: the disk is full, or the folder is not ours to write.
    """
    final = models_dir / model_id / version
    if final.exists():
        raise Conflict(f"{final} is there already", reason="version_exists")
    begun: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(prefix=".begun-", dir=final.parent))
        begun.chmod(0o755)
        for name, content in files.items():
            with (begun / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        check(begun)
        begun.rename(final)
        _sync(final.parent)
    except OSError as error:
        raise FolderUnwritable(f"{final}: can't be written: {error.strerror}") from error
    finally:
        if begun is not None:
            shutil.rmtree(begun, ignore_errors=True)  # nothing is there after the rename
    return final


def _sync(folder: Path) -> None:
    """The rename is on disk when this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
