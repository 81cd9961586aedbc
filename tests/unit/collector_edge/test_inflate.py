from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from collector.budget import Budget
from collector.errors import TooLarge, TryLater, Undecodable
from collector.inflate import STEP_BYTES, Encoding, inflate, inflate_held, inflate_steps, recognised

BODY = b"the quick brown fox " * 1000
LIMIT = 64 << 20


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("deflate", bare_deflate(BODY))],
)
def test_a_body_comes_back_whole(encoding: Encoding, compressed: bytes) -> None:
    assert inflate(compressed, encoding, LIMIT) == BODY
    assert inflate(compressed, encoding, len(BODY)) == BODY


def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    compressed = gzip.compress(BODY)
    assert inflate(compressed, "gzip", len(BODY)) == BODY
    with pytest.raises(TooLarge, match=f"longer than {len(BODY) - 1} bytes"):
        inflate(compressed, "gzip", len(BODY) - 1)


def test_an_empty_body_can_be_compressed() -> None:
    assert inflate(gzip.compress(b""), "gzip", LIMIT) == b""
    assert inflate(zlib.compress(b""), "deflate", LIMIT) == b""


def test_gzip_members_in_a_row_are_one_body() -> None:
    assert (
        inflate(gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(BODY), "gzip", LIMIT)
        == b"one " + BODY
    )


def test_the_limit_holds_over_all_members_together() -> None:
    with pytest.raises(TooLarge):
        inflate(gzip.compress(BODY) * 3, "gzip", 2 * len(BODY))


def test_more_members_than_any_tool_writes_are_refused() -> None:
    with pytest.raises(Undecodable):
        inflate(gzip.compress(b"") * 10_001, "gzip", LIMIT)


@pytest.mark.parametrize("rest", [b"garbage", b"\x1f", b"\x1f\x8b", b"\x00" * 8])
def test_what_follows_a_gzip_body_is_refused(rest: bytes) -> None:
    with pytest.raises(Undecodable):
        inflate(gzip.compress(BODY) + rest, "gzip", LIMIT)


@pytest.mark.parametrize("compressed", [zlib.compress(BODY), bare_deflate(BODY)])
def test_what_follows_a_deflate_body_is_refused(compressed: bytes) -> None:
    with pytest.raises(Undecodable, match="something follows"):
        inflate(compressed + b"x", "deflate", LIMIT)


def test_a_body_cut_anywhere_is_refused() -> None:
    compressed = gzip.compress(BODY)
    for length in range(len(compressed)):
        with pytest.raises(Undecodable):
            inflate(compressed[:length], "gzip", LIMIT)
    compressed = zlib.compress(BODY)
    for length in range(len(compressed)):
        with pytest.raises(Undecodable):
            inflate(compressed[:length], "deflate", LIMIT)


def test_a_wrong_checksum_is_refused() -> None:
    compressed = bytearray(gzip.compress(BODY))
    compressed[-5] ^= 1
    with pytest.raises(Undecodable, match="not gzip"):
        inflate(bytes(compressed), "gzip", LIMIT)


def test_a_bomb_costs_the_limit_and_a_step() -> None:
    bomb = gzip.compress(bytes(256 << 20), compresslevel=1)
    limit = 4 << 20
    sizes: list[int] = []
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            sizes.extend(len(step) for step in inflate_steps(bomb, "gzip", limit))
        with pytest.raises(TooLarge):
            inflate(bomb, "gzip", limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(sizes) == STEP_BYTES
    assert sum(sizes) <= limit
    assert peak < limit + 3 * STEP_BYTES + len(bomb)


def test_incompressible_data_passes() -> None:
    data = b"".join(zlib.crc32(str(i).encode()).to_bytes(4, "big") for i in range(200_000))
    assert inflate(gzip.compress(data), "gzip", LIMIT) == data


@pytest.mark.parametrize("size", [10, 100_000, 5 << 20])
def test_every_inflated_byte_is_held(size: int) -> None:
    budget = Budget(8 << 20)
    data = zlib.compress(bytes(size))

    async def inflated() -> None:
        with budget.hold() as holding:
            assert len(await inflate_held(data, "deflate", LIMIT, holding)) == size
            assert budget.held_bytes == size

    asyncio.run(inflated())
    assert budget.held_bytes == 0


@pytest.mark.parametrize("size", [3 << 20, 60 << 20])
def test_a_body_that_outgrows_the_budget_is_to_be_sent_later(size: int) -> None:
    budget = Budget(2 << 20)

    async def inflated() -> None:
        with budget.hold() as holding:
            await inflate_held(gzip.compress(bytes(size)), "gzip", LIMIT, holding)

    with pytest.raises(TryLater):
        asyncio.run(inflated())
    assert budget.held_bytes == 0


@pytest.mark.parametrize(
    ("message", "encoding"),
    [
        (gzip.compress(b""), "gzip"),
        (zlib.compress(BODY, 1), "deflate"),
        (zlib.compress(BODY, 6), "deflate"),
        (zlib.compress(BODY, 9), "deflate"),
        (b"", None),
        (b"\x0a\x00", None),
        (b"x", None),
        (b"\x1f", None),
        (b"{}", None),
    ],
)
def test_a_message_tells_its_own_compression(message: bytes, encoding: Encoding | None) -> None:
    assert recognised(message) == encoding
