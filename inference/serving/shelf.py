"""Where model folders are found: ``<shelf>/<model id>/<version>/``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inference.errors import ModelUnusable
from inference.manifest import IDENTIFIER, MANIFEST, read_manifest

_NAME: Final = re.compile(IDENTIFIER)


def find(shelves: Sequence[Path], model_id: str, version: str, digest: str | None = None) -> Path:
    """The folder of a version: the first of ``find_all``.

    Raises:
        ModelUnusable: no shelf has it, or those are no names of folders: the ledger takes any.
    """
    return find_all(shelves, model_id, version, digest)[0]


def find_all(shelves: Sequence[Path], model_id: str, version: str, digest: str | None = None) -> list[Path]:
    """The folders of a version in the order of shelves, but at the end those that are not what is asked for.

    That is whose manifest can't be read or has another digest than ``digest``, the model digest that the
    ledger has: it shows in the message of who opens one of them.

    Raises:
        ModelUnusable: as of ``find``.
    """
    if not all(_NAME.fullmatch(name) for name in (model_id, version)):
        raise ModelUnusable(
            f"{model_id[:64]!r}/{version[:64]!r} is no name of a model", reason="model_missing"
        )
    folders = [shelf / model_id / version for shelf in shelves]
    found = [folder for folder in folders if (folder / MANIFEST).is_file()]
    if not found:
        raise ModelUnusable(f"no folder of models has {model_id}/{version}", reason="model_missing")
    return found if len(found) == 1 else sorted(found, key=lambda folder: not _is(folder, digest))


def _is(folder: Path, digest: str | None) -> bool:
    try:
        _, found = read_manifest(folder)
    except ModelUnusable:
        return False
    return digest is None or digest == found


def every(shelves: Sequence[Path]) -> Iterator[Path]:
    """Every model folder, in the order of shelves, models and versions."""
    for shelf in shelves:
        yield from sorted(path.parent for path in shelf.glob(f"*/*/{MANIFEST}"))
