"""Where model folders are found: ``<shelf>/<model id>/<version>/``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inference.errors import ModelUnusable
from inference.manifest import IDENTIFIER, MANIFEST

_NAME: Final = re.compile(IDENTIFIER)


def find(shelves: Sequence[Path], model_id: str, version: str) -> Path:
    """The folder of a version; the first shelf that has it wins.

    Raises:
        ModelUnusable: no shelf has it, or those are no names of folders: the ledger takes any.
    """
    if not all(_NAME.fullmatch(name) for name in (model_id, version)):
        raise ModelUnusable(
            f"{model_id[:64]!r}/{version[:64]!r} is no name of a model", reason="model_missing"
        )
    for shelf in shelves:
        folder = shelf / model_id / version
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelUnusable(f"no folder of models has {model_id}/{version}", reason="model_missing")


def every(shelves: Sequence[Path]) -> Iterator[Path]:
    """Every model folder, in the order of shelves, models and versions."""
    for shelf in shelves:
        yield from sorted(path.parent for path in shelf.glob(f"*/*/{MANIFEST}"))
