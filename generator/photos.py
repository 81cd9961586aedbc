"""Photos that stand for what people bring: a folder with a folder of files for each class.

The classes are TrashNet's.  Which photo a deposit gets is drawn by the caller; here the files have one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from generator.errors import SpecError
from generator.materials import MATERIAL_IDS

CLASS_OF: Final = {
    "pet": "plastic",
    "hdpe": "plastic",
    "pp": "plastic",
    "aluminium_cans": "metal",
    "steel_cans": "metal",
    "glass": "glass",
    "corrugated": "cardboard",
    "mixed_paper": "paper",
}
"""The class of photos that covers a material."""

AS_FILE: Final = "file"
_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, slots=True)
class PhotoFolder:
    """The URLs of the photos, by material index, each list in the order of file names."""

    urls: tuple[tuple[str, ...], ...]

    def choose(self, material: int, u: float) -> str:
        """The photo for a material; ``u`` is uniform in [0, 1)."""
        urls = self.urls[material]
        return urls[int(u * len(urls))]


def photo_folder(folder: Path, named_as: str = AS_FILE) -> PhotoFolder:
    """The photos below ``folder``; their URLs are ``file:`` ones, or ``named_as`` + class + file name.

    Raises:
        SpecError: a class has no photo, or ``named_as`` is neither ``file`` nor a URL.
    """
    if named_as != AS_FILE and "://" not in named_as:
        raise SpecError(f"photos-as: expected file or a URL that the photos are below, got {named_as!r}")
    by_class: dict[str, tuple[str, ...]] = {}
    for name in sorted(set(CLASS_OF.values())):
        inside = folder / name
        try:
            files = sorted(path for path in inside.iterdir() if path.suffix.lower() in _ENDINGS)
        except OSError as error:
            raise SpecError(f"photos {folder}: no folder {name} that can be read in it") from error
        if not files:
            raise SpecError(f"photos {inside}: there is no JPEG, PNG or WebP file in it")
        by_class[name] = tuple(_url(file, named_as) for file in files)
    return PhotoFolder(tuple(by_class[CLASS_OF[material]] for material in MATERIAL_IDS))


def _url(file: Path, named_as: str) -> str:
    if named_as == AS_FILE:
        return file.resolve().as_uri()
    return f"{named_as.rstrip('/')}/{quote(file.parent.name)}/{quote(file.name)}"
