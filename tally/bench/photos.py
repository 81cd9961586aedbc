"""Photos to measure with: real ones where they lie beside the checkout, else drawn ones of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

TRASHNET: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "trashnet" / "images"
"""Real photos of waste, a folder for each class, 299 x 224 JPEG."""

_SIZE: Final = (299, 224)
_EACH: Final = 24
"""Photos of a class."""
_CLASSES: Final = 6


@dataclass(frozen=True, slots=True)
class Photos:
    """Some photos below one folder, in an order that mixes the classes."""

    root: Path
    files: tuple[Path, ...]
    what: str

    @property
    def urls(self) -> list[str]:
        """As ``/predict`` takes them."""
        return [file.as_uri() for file in self.files]


def photos(folder: Path) -> Photos:
    """About 150 photos; drawn ones are written into ``folder``."""
    if TRASHNET.is_dir():
        classes = [sorted(path.glob("*.jpg"))[:_EACH] for path in sorted(TRASHNET.iterdir())]
        mixed = [photo for row in zip(*classes, strict=True) for photo in row]
        return Photos(TRASHNET, tuple(mixed), f"{len(mixed)} photos of TrashNet")
    folder.mkdir(parents=True, exist_ok=True)
    files = tuple(_drawn(folder / f"drawn-{number}.jpg", number) for number in range(_EACH * _CLASSES))
    return Photos(folder, files, f"{len(files)} drawn photos, as TrashNet's are not there")


def _drawn(path: Path, seed: int) -> Path:
    """Shapes under noise: as many bytes and as much work to decode as a real photo of that size."""
    rng = np.random.Generator(np.random.PCG64(seed))
    image = Image.new("RGB", _SIZE, tuple(rng.integers(120, 240, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        x, y, width, height = (rng.random(4) * [*_SIZE, 120, 120]).tolist()
        pen.ellipse((x, y, x + width, y + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    noisy = np.asarray(image, dtype=np.float64) + rng.normal(0, 6, (_SIZE[1], _SIZE[0], 3))
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path
