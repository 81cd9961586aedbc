"""Any bytes give pixels or ``BadInput``; any URL is fetched or refused by a known reason."""

from __future__ import annotations

import asyncio
import io
import string
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.errors import BadInput
from inference.photos.decode import decode
from inference.photos.orientation import orientation_of
from inference.photos.reasons import REASONS
from inference.photos.sources import PhotoRules, PhotoSource, host_rules
from inference.photos.urls import MAX_URL_CHARACTERS, WebUrl, parse_url, redirected

KNOWN = {name for name, _ in REASONS}


def _photos() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (24, 32, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (noise, "JPEG", {"exif": exif}),
        (noise, "JPEG", {"progressive": True}),
        (noise.convert("CMYK"), "JPEG", {}),
        (noise, "PNG", {"exif": exif}),
        (noise.quantize(8), "PNG", {"transparency": bytes(8)}),
        (noise.convert("LA"), "PNG", {}),
        (Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32)), "PNG", {}),
        (noise, "WEBP", {"exif": exif}),
        (noise.convert("RGBA"), "WEBP", {"lossless": True}),
    ]
    made = []
    for image, kind, options in variants:
        written = io.BytesIO()
        image.save(written, kind, **options)
        made.append(written.getvalue())
    return made


PHOTOS = _photos()


def pixels_or_reason(content: bytes) -> None:
    try:
        pixels = decode(content, 16, 24, 10_000)
    except BadInput as error:
        assert error.reason in KNOWN  # noqa: PT017 - either outcome is right
    else:
        assert pixels.shape == (24, 16, 3)
        assert pixels.dtype == np.uint8


@settings(deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x99\0\0\0WEBPVP8X"]),
)
def test_any_bytes_are_decoded_or_refused(content: bytes, start: bytes) -> None:
    pixels_or_reason(start + content)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_photo_is_decoded_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(PHOTOS)))
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can go wrong is in the headers.
        place = data.draw(st.integers(0, len(content)) | st.integers(0, min(len(content), 120)))
        change = data.draw(st.sampled_from(["set", "insert", "cut", "repeat"]))
        piece = data.draw(st.binary(min_size=1, max_size=6))
        if change == "set":
            content[place : place + len(piece)] = piece
        elif change == "insert":
            content[place:place] = piece
        elif change == "cut":
            del content[place : place + data.draw(st.integers(1, 40))]
        else:
            content[place:place] = content[place : place + data.draw(st.integers(1, 200))]
    pixels_or_reason(bytes(content))


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_exif_has_an_orientation(content: bytes, start: bytes) -> None:
    assert 1 <= orientation_of(start + content) <= 8


_PIECES = st.sampled_from(
    [
        *(
            "http://",
            "https://",
            "file://",
            "s3://",
            "/",
            "//",
            "..",
            ".",
            "%2e",
            "%2F",
            "%00",
            "%",
            "\\",
            "@",
            ":",
            "?",
        ),
        *(
            "#",
            "[",
            "]",
            "[::1]",
            "127.0.0.1",
            "localhost",
            "allowed.example",
            "evil.example",
            "bucket",
            "/etc/passwd",
        ),
        *("8080", "\x00", "\r\n", " ", "é", "\ud800", "a.jpg", "0x7f.1", "2130706433"),
    ]
)
URLS = (
    st.text(max_size=60)
    | st.lists(_PIECES, max_size=8).map("".join)
    | st.tuples(
        st.sampled_from(["http://", "file:///", "s3://"]), st.text(string.printable, max_size=60)
    ).map("".join)
)


@settings(max_examples=400, deadline=None)
@given(URLS)
def test_a_url_is_taken_apart_or_refused_and_what_is_taken_has_one_meaning(url: str) -> None:
    try:
        parsed = parse_url(url)
    except BadInput as error:
        assert error.reason in {"url_scheme", "url_malformed"}  # noqa: PT017
        return
    assert len(url) <= MAX_URL_CHARACTERS
    if isinstance(parsed, WebUrl):
        assert parse_url(str(parsed)) == parsed


@settings(deadline=None)
@given(st.binary(max_size=60) | URLS.map(lambda url: url.encode(errors="replace")))
def test_a_redirect_leads_to_a_web_url_or_is_refused(location: bytes) -> None:
    try:
        assert isinstance(redirected(WebUrl("http", "h.example", 80, "/a"), location), WebUrl)
    except BadInput as error:
        assert error.reason in {"url_scheme", "url_malformed", "redirect_refused"}  # noqa: PT017


def test_any_url_is_refused_by_a_known_reason_and_no_name_is_looked_up_but_listed_ones() -> None:
    looked_up: set[str] = set()

    async def resolver(host: str) -> list[str]:
        looked_up.add(host)
        raise OSError("no such host")

    rules = PhotoRules(hosts=host_rules(["allowed.example"]))
    loop = asyncio.new_event_loop()
    source = PhotoSource(rules, resolver=resolver)

    @settings(max_examples=200, deadline=None)
    @given(URLS)
    def refused(url: str) -> None:
        try:
            loop.run_until_complete(source.fetch(url))
        except BadInput as error:
            assert error.reason in KNOWN  # noqa: PT017
        else:
            raise AssertionError("nothing can be fetched here")

    try:
        refused()
        loop.run_until_complete(source.aclose())
    finally:
        loop.close()
    assert looked_up <= {"allowed.example"}
