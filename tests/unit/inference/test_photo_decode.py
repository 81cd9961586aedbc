from __future__ import annotations

import io
import struct
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from inference.errors import BadInput
from inference.photos.decode import decode
from inference.photos.orientation import orientation_of

PIXELS = 25_000_000
FORMATS = ["JPEG", "PNG", "WEBP"]


def picture(width: int = 160, height: int = 120, mode: str = "RGB") -> Image.Image:
    """Smooth colours, different in each corner, so that every turn and every channel shows."""
    down, across = np.mgrid[0:height, 0:width]
    channels = np.stack(
        [across * 255 / width, down * 255 / height, 255 - (across + down) * 255 / (width + height)], axis=-1
    )
    return Image.fromarray(channels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def expected(image: Image.Image, width: int = 64, height: int = 48) -> np.ndarray[Any, Any]:
    return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)).astype(int)


def distance(content: bytes, image: Image.Image) -> float:
    pixels = decode(content, 64, 48, PIXELS)
    assert pixels.shape == (48, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    return float(np.abs(pixels - expected(image)).mean())


def reason_of(content: bytes, max_pixels: int = PIXELS) -> str:
    with pytest.raises(BadInput) as refused:
        decode(content, 64, 48, max_pixels)
    return refused.value.reason


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of those chunks behind its header."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    written = b"\x89PNG\r\n\x1a\n"
    for name, body in [(b"IHDR", header), *chunks]:
        written += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return written


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_is_resized_whole(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    assert distance(encoded(picture(), kind, **options), picture()) < 1.5


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"subsampling": 0}, {"quality": 60}, {"dpi": (72, 72)}]
)
def test_every_usual_jpeg_is_decoded(options: dict[str, Any]) -> None:
    assert distance(encoded(picture(), "JPEG", **options), picture()) < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_png_becomes_rgb(mode: str) -> None:
    image = picture()
    if mode == "I;16":
        deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
        assert distance(encoded(Image.fromarray(deep)), image.convert("L")) < 1.5
    else:
        assert distance(encoded(image.convert(mode)), image.convert(mode)) < 1.5


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_every_mode_of_jpeg_becomes_rgb(mode: str) -> None:
    assert distance(encoded(picture(mode=mode), "JPEG", quality=95), picture(mode=mode)) < 3


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("transparent", [False, True])
def test_grey_of_every_depth_is_decoded_and_its_transparent_value_is_white(
    depth: int, transparent: bool
) -> None:
    rows = b"".join(b"\0" + bytes(max(1, 16 * depth // 8)) for _ in range(16))
    chunks = [(b"tRNS", b"\0\0")] if transparent else []
    content = png(16, 16, *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""), depth=depth, colour=0)
    assert decode(content, 4, 4, PIXELS).tolist() == [[[255 if transparent else 0] * 3] * 4] * 4


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_an_rgb_png_is_white(depth: int) -> None:
    rows = b"".join(b"\0" + bytes(16 * 3 * depth // 8) for _ in range(16))
    chunks = [(b"tRNS", bytes(6)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    assert decode(png(16, 16, *chunks, depth=depth), 4, 4, PIXELS).min() == 255
    assert decode(png(16, 16, *chunks[1:], depth=depth), 4, 4, PIXELS).max() == 0


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_is_white_whatever_colour_it_hides(kind: str) -> None:
    hidden = Image.new("RGBA", (80, 60), (255, 0, 0, 0))
    assert (
        decode(encoded(hidden, kind, **({"exact": True} if kind == "WEBP" else {})), 8, 8, PIXELS).min()
        == 255
    )
    half = Image.new("RGBA", (80, 60), (0, 0, 0, 128))
    assert abs(int(decode(encoded(half, kind), 8, 8, PIXELS)[4, 4, 0]) - 127) <= 1


def test_a_palette_with_transparency_is_laid_on_white_without_a_warning() -> None:
    image = picture().quantize(16)
    content = encoded(image, transparency=bytes([0] * 16))
    assert decode(content, 8, 8, PIXELS).min() == 255


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(160, 120), (1280, 960)])
def test_a_photo_is_turned_upright(kind: str, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(*size), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert distance(content, upright) < 3


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"XX*\0\x08\0\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\x06\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x02\0\x06\0\0",
    ],
)
def test_exif_that_can_not_be_read_means_upright(exif: bytes) -> None:
    assert orientation_of(exif) == 1
    content = encoded(picture(), "JPEG", exif=b"Exif\0\0" + exif)
    assert distance(content, picture()) < 3


def test_exif_is_read_in_both_byte_orders() -> None:
    assert orientation_of(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0") == 6
    assert orientation_of(b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0") == 6


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same() -> None:
    large = picture(2048, 1536)
    assert distance(encoded(large, "JPEG", quality=95), large) < 2


@pytest.mark.parametrize("kind", FORMATS)
def test_dimensions_are_checked_before_anything_is_decoded(kind: str) -> None:
    content = encoded(picture(160, 120), kind)
    assert decode(content, 8, 8, 160 * 120).shape == (8, 8, 3)
    assert reason_of(content, 160 * 120 - 1) == "too_many_pixels"


def test_a_header_of_50000_by_50000_pixels_costs_nothing() -> None:
    data = (b"IDAT", zlib.compress(bytes(1000)))
    jpeg = bytearray(encoded(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 50_000, 50_000)
    webp = bytearray(encoded(picture(), "WEBP"))
    extended = b"RIFF" + struct.pack("<I", len(webp) + 10) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    extended += (49_999).to_bytes(3, "little") * 2 + webp[12:]
    tracemalloc.start()
    try:
        narrow = png(65_536, 1, data, (b"IEND", b""))
        for content in (png(50_000, 50_000, data, (b"IEND", b"")), narrow, bytes(jpeg), bytes(extended)):
            assert reason_of(content) == "too_many_pixels"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_cut_anywhere_is_refused(kind: str) -> None:
    content = encoded(picture(), kind)
    for end in sorted(
        {*range(0, len(content), max(1, len(content) // 150)), len(content) - 1, len(content) - 2}
    ):
        with pytest.raises(BadInput) as refused:
            decode(content[:end], 64, 48, PIXELS)
        assert refused.value.reason in (
            {"not_a_photo", "photo_truncated"} if end < 16 else {"photo_truncated"}
        ), end


def test_rows_that_a_whole_png_never_had_are_black_and_nothing_that_was_in_memory() -> None:
    rows = zlib.compress((b"\0" + b"\xff" * 3 * 64) * 32)
    pixels = decode(png(64, 64, (b"IDAT", rows), (b"IEND", b"")), 64, 64, PIXELS)
    assert pixels[:32].min() == 255
    assert pixels[32:].max() == 0


@pytest.mark.parametrize("kind", FORMATS)
def test_what_follows_a_photo_is_ignored(kind: str) -> None:
    content = encoded(picture(), kind)
    assert np.array_equal(decode(content + b"more" * 100, 64, 48, PIXELS), decode(content, 64, 48, PIXELS))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    content = encoded(picture(), kind, save_all=True, append_images=[picture().rotate(90)], duration=100)
    assert reason_of(content) == "photo_animated"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused(kind: str) -> None:
    assert reason_of(encoded(picture(), kind)) == "not_a_photo"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"%PDF-1.7",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\x00\x01",
        b"\xff\xd8\xff\xda\x00\x02\xff\xd9",
        b"\xff\xd8\xff\xd8\xff\xd9",
        b"\xff\xd8" + b"\xff\xe1\x00\x02" * 5000,
        b"\x89PNG\r\n\x1a\n",
        png(0, 5, (b"IDAT", b""), (b"IEND", b"")),
        png(5, 5, (b"IEND", b"")),
        png(5, 5, (b"IHDR", bytes(13)), (b"IEND", b"")),
        png(5, 5, *[(b"tEXt", b"")] * 20_001, (b"IEND", b"")),
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\x04\0\0\0WEBPVP8 ",
    ],
)
def test_what_is_not_quite_a_photo_is_refused(content: bytes) -> None:
    assert reason_of(content) in {"not_a_photo", "photo_truncated"}


def test_no_metadata_reaches_the_decoder() -> None:
    """Profiles and comments of any size and any damage make no difference, and no warning."""
    plain = encoded(picture(), "JPEG")
    segments = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(body)) + body
        for marker, body in [
            (0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(200)),
            (0xE2, b"MPF\0" + b"\xff" * 100),
            (0xE2, b"ICC_PROFILE\0\x01\x02" + bytes(100)),
            (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff\xff\xff"),
            (0xFE, b"\xff\xd9" * 100),
        ]
    )
    assert np.array_equal(
        decode(plain[:2] + segments + plain[2:], 64, 48, PIXELS), decode(plain, 64, 48, PIXELS)
    )
    drawn = encoded(picture())
    bomb = zlib.compress(bytes(50_000_000))
    body = b"Comment\0\0" + bomb
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    assert np.array_equal(
        decode(drawn[:33] + chunk + drawn[33:], 64, 48, PIXELS), decode(drawn, 64, 48, PIXELS)
    )


def test_a_jpeg_with_endless_scans_is_refused_at_once() -> None:
    content = encoded(picture(2000, 2000), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    scan = content[last:-2]
    started = time.perf_counter()
    assert reason_of(content[:-2] + scan * 200 + b"\xff\xd9") == "too_many_pixels"
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    "filler", [b"\xff" * 5_000_000 + b"\0", b"\xff\xd0" * 2_500_000, b"\xff\0" * 2_500_000]
)
def test_hostile_fillers_take_no_more_than_linear_time(filler: bytes) -> None:
    plain = encoded(picture(), "JPEG")
    middle = plain.index(b"\xff\xda") + 40
    started = time.perf_counter()
    for content in (
        plain[:2] + filler + plain[2:],
        plain[:middle] + filler,
        plain[:middle] + filler + plain[middle:],
    ):
        try:
            decode(content, 64, 48, PIXELS)
        except BadInput as error:
            assert error.reason in {"not_a_photo", "photo_truncated"}  # noqa: PT017 - some pass, with noise
    assert time.perf_counter() - started < 3


def test_the_result_does_not_depend_on_what_else_is_decoded_meanwhile() -> None:
    contents = [encoded(picture(), kind) for kind in FORMATS] + [b"broken", encoded(picture(mode="RGBA"))]
    alone = [_outcome(content) for content in contents]
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("ignore")
        together = list(pool.map(_outcome, contents * 20))
    assert together == alone * 20


def _outcome(content: bytes) -> bytes:
    try:
        return decode(content, 64, 48, PIXELS).tobytes()
    except BadInput as error:
        return error.reason.encode()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_the_smallest_and_the_narrowest_photos_are_resized_too(size: tuple[int, int]) -> None:
    for kind in FORMATS:
        assert decode(encoded(picture(*size), kind), 64, 48, PIXELS).shape == (48, 64, 3)
