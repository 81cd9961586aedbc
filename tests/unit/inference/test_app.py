"""The application around the routes: bounds on bodies, and examples that are true."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from inference.access import Principal, Principals
from inference.app import MAX_BODY_BYTES, BodyLimit
from inference.manifest import Feature
from inference.readings import validated
from inference.routes import bodies
from inference.routes.bodies import ITEMS, MANY_ITEMS, MOST_READINGS, Asked, AskedMany

Message = MutableMapping[str, Any]


class Reader:
    """An application that reads the body, and what came of it."""

    def __init__(self) -> None:
        self.read = b""
        self.status: int | None = None
        self.sent: list[Message] = []

    async def __call__(self, _scope: Any, receive: Any, _send: Any) -> None:
        try:
            while True:
                message = await receive()
                self.read += message.get("body", b"")
                if not message.get("more_body", False):
                    return
        except HTTPException as error:
            self.status = error.status_code

    async def send(self, message: Message) -> None:
        """Keep what is answered without the application."""
        self.sent.append(message)


SOMEBODY: Final = Principals(
    (
        Principal(
            name="known", roles=frozenset({"predict"}), token_sha256=hashlib.sha256(b"known").hexdigest()
        ),
    )
)


def limited(
    pieces: list[bytes],
    *,
    pause_s: float = 0.0,
    body_s: float = 5.0,
    declared: bytes | None = None,
    token: list[tuple[bytes, bytes]] | None = None,
) -> Reader:
    reader = Reader()
    waiting = list(pieces)

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    headers = [(b"authorization", b"Bearer known")] if token is None else token
    headers += [] if declared is None else [(b"content-length", declared)]
    scope = {"type": "http", "headers": headers, "method": "POST", "path": "/"}
    asyncio.run(BodyLimit(reader, SOMEBODY, body_s=body_s)(scope, receive, reader.send))
    return reader


def test_a_body_comes_through_whole() -> None:
    reader = limited([b"a" * 1000] * 5, declared=b"5000")
    assert (reader.read, reader.status) == (b"a" * 5000, None)


def test_a_body_is_refused_as_soon_as_it_is_too_large() -> None:
    half = b"a" * (MAX_BODY_BYTES // 2)
    assert limited([half, half]).status is None
    assert limited([half, half, b"a", b"never read"]).status == 413


@pytest.mark.parametrize("declared", [str(MAX_BODY_BYTES + 1).encode(), b"9" * 30])
def test_a_body_that_is_declared_too_large_is_not_read(declared: bytes) -> None:
    reader = limited([b"a"], declared=declared)
    assert reader.read == b""
    assert reader.sent[0]["status"] == 413


def test_a_body_that_trickles_in_is_ended() -> None:
    reader = limited([b"a"] * 100, pause_s=0.02, body_s=0.1)
    assert reader.status == 408
    assert 1 <= len(reader.read) < 100


def test_the_examples_of_the_documentation_are_good_requests() -> None:
    for example in ITEMS.values():
        Asked.model_validate(example["value"])
    for example in MANY_ITEMS.values():
        AskedMany.model_validate(example["value"])


def test_the_example_of_readings_is_one_that_the_packaged_specification_takes() -> None:
    spec = yaml.safe_load(
        (Path(bodies.__file__).parents[1] / "specs" / "waste-sensors.yaml").read_text(encoding="utf-8")
    )
    row = validated(
        [Feature.model_validate(feature) for feature in spec["features"]],
        Asked.model_validate(ITEMS["readings"]["value"]).readings or {},
    )
    assert len(row) == len(spec["features"])


@pytest.mark.parametrize(
    "token", [[], [(b"authorization", b"Bearer other")], [(b"authorization", b"Basic known")]]
)
def test_the_body_of_somebody_unknown_is_not_read(token: list[tuple[bytes, bytes]]) -> None:
    reader = limited([b"x" * 10], token=token)
    assert reader.sent[0]["status"] == 401
    assert not reader.read


def test_a_flood_of_readings_is_one_problem_and_not_one_for_each() -> None:
    flood: dict[str, object] = {f"r{number}": [] for number in range(100_000)}
    with pytest.raises(ValidationError) as caught:
        AskedMany.model_validate({"items": [{"sensor_id": "a", "readings": flood}] * 1000})
    assert caught.value.error_count() == 1
    assert f"at most {MOST_READINGS} readings" in str(caught.value)
