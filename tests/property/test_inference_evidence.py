"""What the service says is what the ledger gets: events through the collector's decoder, puts, shares."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.limits import Arrival, Limits
from collector.logs_decoder import LogsDecoder
from collector.resources import Senders
from inference.evidence import Recorded, new_prediction_id, request_bytes
from inference.manifest import Manifest
from inference.serving.desk import Seat
from inference.serving.model import Answer, LoadedModel
from ledger.batch import Head, link_rows
from ledger.chain import HASH_BYTES
from ledger.rows import decode_image
from ledger.streams import STREAMS
from outbox.gather import Gather
from outbox.spool import Spool
from tests.otlp_requests import NOON_NS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIGEST: Final = "ab" * 32
# What /predict admits as a name: see inference.routes.bodies.Name.
_NAMES: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(code) for code in (*range(32), 127)]),
    min_size=1,
    max_size=256,
)
# The collector takes a blank name for no identity, so /predict never knows a sensor by one.
_SENSORS: Final = _NAMES.filter(str.strip)
_SHORT: Final = _NAMES.map(lambda name: name[:20])
_SHARES: Final = st.floats(0, 1)


def manifest(classes: tuple[str, ...], covers: Mapping[str, tuple[str, ...]]) -> Manifest:
    return Manifest.model_validate(
        {
            "model_id": "m",
            "version": "v1",
            "task": "classification",
            "title": "m",
            "artefact_digest": _DIGEST,
            "card_digest": _DIGEST,
            "input": {"kind": "photo", "width": 32, "height": 32},
            "output": "logits",
            "classes": classes,
            "covers": covers,
            "spec_digest": _DIGEST,
            "data_digest": _DIGEST,
            "metrics": {},
            "promotion": {},
            "trained_at": "2026-03-01T00:00:00Z",
            "trained_by": "trainer",
            "seconds": 1,
        }
    )


@st.composite
def recorded(draw: st.DrawFn) -> Recorded:
    """An answer as /predict may have given it; its times are in whole microseconds."""
    names = tuple(draw(st.lists(_SHORT, min_size=2, max_size=5, unique=True)))
    shares = {name: draw(_SHARES) for name in names}
    observed_us = draw(st.integers(946_684_800_000_000, NOON_NS // 1000))
    return Recorded(
        prediction_id=new_prediction_id(),
        sensor_id=draw(_SENSORS),
        site_id=draw(st.none() | _NAMES),
        transaction_id=draw(st.none() | _NAMES),
        observed_ns=observed_us * 1000,
        answered_ns=NOON_NS + 7,
        manifest=manifest(names, {names[0]: names[1:]}),
        model_digest=_DIGEST,
        role=draw(st.sampled_from(["champion", "challenger"])),
        input_digest=_DIGEST,
        answer=Answer(names[0], None, shares[names[0]], shares, unsure=False),
        statistics=draw(
            st.dictionaries(
                _SHORT,
                st.floats(allow_nan=False, allow_infinity=False),
                max_size=5,
            )
        ),
    )


def read_back(body: bytes) -> dict[str, dict[str, Any]]:
    """The rows of predictions that the collector makes of a request, by prediction."""
    limits = Limits()
    records = LogsDecoder(Senders(limits), limits).decode(body, Arrival.at(NOON_NS, limits))
    assert not records.refusals, records.examples
    rows: dict[str, dict[str, Any]] = {}
    for (stream, chain), halves in records.rows.items():
        assert stream == "predictions"
        head = Head(0, bytes(HASH_BYTES))
        images: list[bytes] = []
        link_rows(iter([halves]), head, images)
        for image in images:
            row: dict[str, Any] = decode_image(STREAMS[stream], image[HASH_BYTES:])
            assert row["machine_id"] == chain
            row["attributes"] = json.loads(row["attributes"], parse_int=float)
            rows[row["prediction_id"]] = row
    return rows


@settings(max_examples=80, deadline=None)
@given(st.lists(recorded(), min_size=1, max_size=6))
def test_what_is_recorded_is_the_row_that_the_ledger_gets(items: list[Recorded]) -> None:
    rows = read_back(request_bytes(items))
    assert len(rows) == len(items)
    for item in items:
        row = rows[item.prediction_id]
        assert row["machine_id"] == item.sensor_id
        assert row["event_time"] == _EPOCH + timedelta(microseconds=item.observed_ns // 1000)
        assert row["site_id"] == item.site_id
        assert row["transaction_id"] == item.transaction_id
        assert (row["model_id"], row["model_version"]) == ("m", "v1")
        assert row["model_digest"] == row["input_digest"] == _DIGEST
        assert row["material"] == item.answer.label
        assert row["confidence"] == item.answer.confidence
        assert row["threshold"] == item.manifest.review_below
        attributes = row["attributes"]
        assert attributes["prediction.top"] == item.answer.top
        assert attributes["prediction.role"] == item.role
        assert attributes["prediction.covers"] == list(item.manifest.covers[item.answer.label])
        assert attributes.get("prediction.statistics", {}) == item.statistics


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    cancelled=st.sets(st.integers(0, 29)),
    pauses=st.sets(st.integers(0, 29)),
)
def test_every_put_is_kept_exactly_once_whoever_goes_away(
    sizes: list[int], cancelled: set[int], pauses: set[int]
) -> None:
    async def work(spool: Spool) -> None:
        async with Gather(spool, "logs") as gather:
            tasks = []
            for number, size in enumerate(sizes):
                bodies = [f"<{number}.{part}>".encode() for part in range(size)]
                tasks.append(asyncio.create_task(gather.put(*bodies)))
                await asyncio.sleep(0.002 if number in pauses else 0)
                if number in cancelled:
                    tasks[-1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "outbox.sqlite")
        asyncio.run(work(spool))
        batch = spool.next_batch()
        spool.close()
    wanted = [f"<{number}.{part}>" for number, size in enumerate(sizes) for part in range(size)]
    assert (b"" if batch is None else batch.body).decode() == "".join(wanted)


def seat(share: float) -> Seat:
    """Two versions that are only told apart."""
    champion, challenger = cast("LoadedModel", SimpleNamespace()), cast("LoadedModel", SimpleNamespace())
    return Seat(champion, challenger, share)


@settings(max_examples=40, deadline=None)
@given(share=_SHARES, prefix=_NAMES)
def test_a_challenger_gets_its_share_of_transactions(share: float, prefix: str) -> None:
    chosen = seat(share)
    keys = [f"{prefix}{number}" for number in range(2_000)]
    got = sum(chosen.choose(key) is chosen.challenger for key in keys) / len(keys)
    assert abs(got - share) < 0.06, "more than five standard deviations"
    assert all(chosen.choose(key) is chosen.choose(key) for key in keys[:20])


@settings(max_examples=60, deadline=None)
@given(shares=st.lists(_SHARES, min_size=2, max_size=6).map(sorted), key=_NAMES)
def test_a_growing_share_takes_no_transaction_away_from_the_challenger(shares: list[float], key: str) -> None:
    got = [seat_of.choose(key) is seat_of.challenger for seat_of in map(seat, shares)]
    assert all(after or not before for before, after in pairwise(got))
