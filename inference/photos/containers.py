"""What the bytes of a JPEG, PNG or WebP say of themselves, before anything is decoded.

Pure functions over bytes.  They find dimensions and orientation, refuse animations and missing ends, bound
the work that a decoder can be made to do, and keep of JPEG and PNG only the parts that make pixels: profiles,
previews, comments and EXIF never reach a decoder.

Sources: ITU-T T.81 annex B (JPEG), W3C PNG third edition chapter 5, RFC 9649 (WebP).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from inference.photos.orientation import orientation_of
from inference.photos.reasons import refusal

_MOST_SEGMENTS: Final = 1_000
_MOST_SCANS: Final = 100
_SCANS_OF_THE_LARGEST: Final = 12
"""A progressive JPEG has about ten scans, each as much work as its pixels; so many are spent on one of
``max_pixels``, and more on smaller ones."""
_MOST_CHUNKS: Final = 20_000
_LONGEST_SIDE: Final = 65_535
"""JPEG's own limit.  A PNG of one row can be longer, and then takes many times the memory of its pixels."""

_JPEG_START: Final = b"\xff\xd8\xff"
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""A marker that is neither a stuffed byte nor a restart, so it ends a scan's data."""
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_APP1: Final = 0xE1
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_NO_PHOTO: Final = frozenset({*range(0xC0), 0xC3, *range(0xC5, 0xC9), 0xCB, *range(0xCD, 0xD0), 0xD8, 0xDC})
"""Reserved markers, lossless and hierarchical frames, a second start, a height that is told afterwards."""
_JPEG_DROPPED: Final = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""APP1 to APP13, APP15 and comments; APP0 and APP14 tell which colours the components are."""
_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_RIFF_HEADER_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Container:
    """A photo that may be decoded: ``content`` is all that its decoder needs.

    ``width`` and ``height`` are in pixels, as stored; ``orientation`` is EXIF's, 1 to 8.
    """

    kind: Literal["JPEG", "PNG", "WEBP"]
    width: int
    height: int
    orientation: int
    content: bytes


def read_container(content: bytes, max_pixels: int) -> Container:
    """What is in ``content``.

    Raises:
        BadInput: ``not_a_photo``, ``photo_truncated``, ``photo_animated``, ``too_many_pixels``.
    """
    if content.startswith(_JPEG_START):
        return _jpeg(content, max_pixels)
    if content.startswith(_PNG_START):
        return _png(content, max_pixels)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content, max_pixels)
    raise refusal("not_a_photo", "the bytes are neither JPEG nor PNG nor WebP")


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise refusal("not_a_photo", "the photo's header gives it no pixels")
    if max(width, height) > _LONGEST_SIDE:
        raise refusal("too_many_pixels", f"a photo's side is at most {_LONGEST_SIDE} pixels long")
    if width * height > max_pixels:
        raise refusal(
            "too_many_pixels", f"the photo has {width} x {height} pixels; at most {max_pixels} are taken"
        )


def _jpeg(content: bytes, max_pixels: int) -> Container:
    kept = [content[:2]]
    size: tuple[int, int] | None = None
    orientation = 1
    scans = 0
    for marker, start, body_start, end in _jpeg_segments(content):
        if marker == _END_OF_IMAGE:
            if size is None or scans == 0:
                raise refusal("not_a_photo", "the JPEG has no picture")
            return Container("JPEG", *size, orientation, b"".join([*kept, content[start:end]]))
        if marker in _FRAMES:
            if size is not None:
                raise refusal("not_a_photo", "the JPEG has two frames")
            size = _jpeg_size(content[body_start:end])
            _check_pixels(*size, max_pixels)
        elif marker == _START_OF_SCAN:
            scans += 1
            _check_scans(scans, size, max_pixels)
        elif marker == _APP1 and content.startswith(b"Exif\0\0", body_start):
            orientation = orientation_of(content[body_start + 6 : end])
        if marker not in _JPEG_DROPPED:
            kept.append(content[start:end])
    raise refusal("not_a_photo", f"the JPEG has more than {_MOST_SEGMENTS} segments")


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Marker, where it starts, where its segment's body starts, and the end; a scan's data belong to it."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(content, position)
        if content[position : found.start() if found else None].strip(b"\xff"):
            raise refusal("not_a_photo", "the JPEG has bytes where a marker must be")
        if found is None:
            raise refusal("photo_truncated", "the JPEG ends before its end marker")
        marker = found[1][0]
        position = found.end()
        if marker in _NO_PHOTO:
            raise refusal("not_a_photo", "the JPEG is of a kind that photos do not have")
        if marker != _END_OF_IMAGE:
            position = _segment_end(content, position)
        if marker == _START_OF_SCAN:
            end = _MARKER.search(content, position)
            if end is None:
                raise refusal("photo_truncated", "the JPEG ends within its picture")
            position = end.start()
        yield marker, found.start(), found.end() + 2, position


def _segment_end(content: bytes, position: int) -> int:
    length = int.from_bytes(content[position : position + 2], "big")
    end = position + length
    if position + 2 > len(content) or end > len(content):
        raise refusal("photo_truncated", "the JPEG ends within a segment")
    if length < 2:
        raise refusal("not_a_photo", "the JPEG has a segment shorter than its own length")
    return end


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    if len(frame) < 6 or frame[0] != 8:
        raise refusal("not_a_photo", "the JPEG's frame does not have 8 bits a sample")
    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")


def _check_scans(scans: int, size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is None:
        raise refusal("not_a_photo", "the JPEG has a scan before its frame")
    if scans > _MOST_SCANS or scans * size[0] * size[1] > _SCANS_OF_THE_LARGEST * max_pixels:
        raise refusal("too_many_pixels", f"the JPEG goes over its {size[0]} x {size[1]} pixels too often")


def _png(content: bytes, max_pixels: int) -> Container:
    kept = [_PNG_START]
    size: tuple[int, int] | None = None
    orientation = 1
    has_data = False
    position = len(_PNG_START)
    for _ in range(_MOST_CHUNKS):
        head = content[position : position + 8]
        end = position + 12 + int.from_bytes(head[:4], "big")
        name = head[4:]
        if len(head) < 8 or end > len(content):
            raise refusal("photo_truncated", "the PNG ends within a chunk or before its last")
        body = content[position + 8 : end - 4] if name != b"IDAT" else b""
        if (name == b"IHDR") != (size is None):
            raise refusal("not_a_photo", "the PNG's header is not its first chunk, or not its only one")
        if name == b"IHDR":
            size = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            _check_pixels(*size, max_pixels)
        elif name == b"acTL" and not has_data:
            raise refusal("photo_animated", "the PNG is an animation; a photo is a still")
        elif name == b"eXIf":
            orientation = orientation_of(body)
        has_data = has_data or name == b"IDAT"
        if name in _PNG_KEPT:
            kept.append(content[position:end])
        position = end
        if name == b"IEND" and size is not None:
            if not has_data:
                raise refusal("not_a_photo", "the PNG has no picture")
            return Container("PNG", *size, orientation, b"".join(kept))
    raise refusal("not_a_photo", f"the PNG has more than {_MOST_CHUNKS} chunks")


def _webp(content: bytes, max_pixels: int) -> Container:
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise refusal("photo_truncated", "the WebP ends before its length")
    content = content[:end]
    name, body = content[12:16], content[20:30]
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[place : place + 2], "little") & 0x3FFF for place in (6, 8))
        orientation = 1
    elif name == b"VP8L" and body[:1] == b"\x2f":
        packed = int.from_bytes(body[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        orientation = 1
    elif name == b"VP8X" and len(body) == 10:
        width, height = (int.from_bytes(body[place : place + 3], "little") + 1 for place in (4, 7))
        orientation = _webp_orientation(content)
    else:
        raise refusal("not_a_photo", "the WebP has no header that can be read")
    _check_pixels(width, height, max_pixels)
    return Container("WEBP", width, height, orientation, content)


def _webp_orientation(content: bytes) -> int:
    """Of an extended WebP, which is refused if it is an animation."""
    orientation = 1
    animated = bool(content[20] & 0x02)
    position = _RIFF_HEADER_BYTES
    for _ in range(_MOST_SEGMENTS):
        name = content[position : position + 4]
        length = int.from_bytes(content[position + 4 : position + 8], "little")
        if animated or name in {b"ANIM", b"ANMF"}:
            raise refusal("photo_animated", "the WebP is an animation; a photo is a still")
        if name == b"EXIF":
            orientation = orientation_of(
                content[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
            )
        position += 8 + length + length % 2
        if position >= len(content):
            return orientation
    raise refusal("not_a_photo", f"the WebP has more than {_MOST_SEGMENTS} chunks")
