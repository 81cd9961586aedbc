"""The words that a review may use: what the model could have said, and the materials that this stands for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inference.errors import ModelUnusable
from inference.manifest import Manifest, read_manifest
from inference.serving.desk import Desk
from inference.serving.shelf import find

_KEPT: Final = 256


class Vocabulary:
    """Tells the words of a model version, of those that answer now without reading a file.

    Args:
        desk: who answers now.
        shelves: where the folders of other versions are.
    """

    def __init__(self, desk: Desk, shelves: Sequence[Path]) -> None:
        self._desk = desk
        self._shelves = tuple(shelves)
        self._read: dict[tuple[str, str], frozenset[str]] = {}

    def __call__(self, model_id: str, version: str) -> frozenset[str] | None:
        """Classes and the materials that they cover; None: no such version is here, or it has none."""
        seat = self._desk.seats.get(model_id)
        for loaded in () if seat is None else (seat.champion, seat.challenger):
            if loaded is not None and loaded.manifest.version == version:
                return _words(loaded.manifest)
        if (model_id, version) not in self._read:
            try:
                manifest, _ = read_manifest(find(self._shelves, model_id, version))
            except ModelUnusable:
                return None
            if len(self._read) >= _KEPT:
                self._read.clear()
            self._read[model_id, version] = _words(manifest) or frozenset()
        return self._read[model_id, version] or None


def _words(manifest: Manifest) -> frozenset[str] | None:
    covered = (material for materials in manifest.covers.values() for material in materials)
    return frozenset((*manifest.classes, *covered)) or None
