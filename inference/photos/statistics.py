"""Three numbers of a photo that drift is watched by: light, exposure and colour, not content.

They are cheap on purpose: about 3,000 pixels of a grid are looked at, however large the photo is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = ("brightness", "contrast", "saturation")
_GRID: Final = 56
_LUMA: Final = np.array((0.299, 0.587, 0.114), dtype=np.float32) / 255
"""Weights of red, green and blue: ITU-R BT.601."""


def statistics(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """``brightness``, ``contrast`` and ``saturation`` of uint8 [height, width, 3], each from 0 to 1.

    Brightness is the mean luma; contrast twice its standard deviation (RMS contrast; half black and half
    white is 1); saturation the mean difference between a pixel's greatest and least component.
    """
    height, width = pixels.shape[:2]
    grid = pixels[:: max(1, height // _GRID), :: max(1, width // _GRID)]
    luma = grid @ _LUMA
    red, green, blue = grid[..., 0], grid[..., 1], grid[..., 2]
    greatest = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    brightness = float(luma.mean())
    centred = (luma - brightness).ravel()
    contrast = 2 * float(np.sqrt(centred @ centred / centred.size))
    chroma = float((greatest - least).mean()) / 255
    return {
        name: min(max(value, 0.0), 1.0)
        for name, value in zip(FEATURES, (brightness, contrast, chroma), strict=True)
    }
