"""EXIF's orientation: one number of its first directory; whatever is not as it should be means upright.

Source: EXIF 2.32 (CIPA DC-008) section 4.6.4, tag 0x0112; TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from typing import Final

_UPRIGHT: Final = 1
_TAG: Final = 0x0112
_SHORT: Final = 3
_MOST_ENTRIES: Final = 512


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, of EXIF data from its TIFF header on; 1 if it has none that can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return _UPRIGHT
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for number in range(min(entries, _MOST_ENTRIES)):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, directory + 2 + 12 * number)
            if tag == _TAG:
                return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else _UPRIGHT
    except struct.error:
        pass
    return _UPRIGHT
