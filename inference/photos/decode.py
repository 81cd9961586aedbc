"""A photo's pixels as a model takes them.

The whole photo is resized, not cropped, to the model's width and height with bilinear interpolation over all
the pixels that it shrinks (antialiasing); it is turned upright by its EXIF orientation; what is transparent
is white; colours are taken as sRGB and embedded profiles are not applied.  Training and serving use this one
function, so a model sees what it was trained on.

Pillow's three decoders are called by their classes and not through ``Image.open``: no plugin registry, no
global limit and no warning takes part, so the result depends on the arguments only, in any number of threads.
A decode holds up to about 16 bytes for each pixel of the photo while it runs (WebP; JPEG and PNG less).
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from inference.errors import BadInput
from inference.photos.containers import Container, read_container
from inference.photos.reasons import refusal

_DECODERS: Final[dict[str, type[ImageFile]]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
}
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING: Final = frozenset({5, 6, 7, 8})
"""Orientations whose stored width is the height that one sees."""
_PLAIN: Final = {"P": "RGB", "1": "L"}
_WITH_ALPHA: Final = frozenset({"RGBA", "LA"})


def decode(content: bytes, width: int, height: int, max_pixels: int) -> NDArray[np.uint8]:
    """A JPEG, PNG or WebP photo as uint8 [height, width, 3], RGB.

    Raises:
        BadInput: ``not_a_photo``, ``photo_truncated``, ``photo_animated``, ``too_many_pixels``.
    """
    container = read_container(content, max_pixels)
    try:
        return _pixels(container, width, height)
    except BadInput:
        raise
    except MemoryError as error:
        raise refusal("too_many_pixels", "the photo needs more memory than there is") from error
    except Exception as error:  # Pillow's decoders raise all sorts on damaged data
        if "truncated" in str(error):
            raise refusal("photo_truncated", f"the {container.kind} ends within its picture") from error
        raise refusal("not_a_photo", f"the {container.kind} is damaged and can't be decoded") from error


def _pixels(container: Container, width: int, height: int) -> NDArray[np.uint8]:
    stored = (height, width) if container.orientation in _LYING else (width, height)
    with _DECODERS[container.kind](BytesIO(container.content)) as image:
        if image.size != (container.width, container.height):
            raise refusal("not_a_photo", f"the {container.kind} contradicts itself about its size")
        if image.width >= 2 * stored[0] and image.height >= 2 * stored[1]:
            image.draft(
                None, stored
            )  # JPEG only: an eighth, a quarter or half of the size, whichever suffices
        image.load()
        small = _on_white(_plain(image).resize(stored, Image.Resampling.BILINEAR))
    if container.orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[container.orientation])
    return np.array(small, dtype=np.uint8)


def _plain(image: Image.Image) -> Image.Image:
    """The same picture in a mode that can be interpolated: L, RGB, CMYK, LA or RGBA."""
    transparent = image.info.get("transparency")
    if image.mode in {"I", "I;16", "I;16B", "I;16L"}:
        return _sixteen_bits(image, transparent)
    if transparent is not None:
        return image.convert("RGBA")
    return image.convert(_PLAIN[image.mode]) if image.mode in _PLAIN else image


def _sixteen_bits(image: Image.Image, transparent: object) -> Image.Image:
    """Grey of 16 bits as grey of 8, by its high byte; Pillow's own conversion clips instead."""
    deep = np.asarray(image).astype(np.uint16)
    grey = (deep >> 8).astype(np.uint8)
    if not isinstance(transparent, int):
        return Image.fromarray(grey)
    alpha = np.where(deep == transparent, 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in _WITH_ALPHA:
        return image.convert("RGB")
    upper = image.convert("RGBA")
    white = Image.new("RGBA", upper.size, "white")
    return Image.alpha_composite(white, upper).convert("RGB")
