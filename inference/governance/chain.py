"""From the ledger's bytes to steps: each row's hash is computed again, and the first that is wrong ends it.

So what is served never follows from a row that was altered without rewriting the chain after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from inference.governance.lifecycle import advance, new_state
from inference.governance.state import STREAM, ModelState, Step
from ledger.chain import link
from ledger.errors import DecodingError
from ledger.rows import HASH_FIELD_LENGTH, Value, decode_image
from ledger.streams import STREAMS

_TAIL: Final = 36
"""Bytes of ``row_hash`` on the wire: its length word and the hash."""


class _Broken(Exception):
    """A row does not continue the chain."""


class Chain:
    """A model's chain as far as it was followed: its rows (binary COPY tuples), their steps, the state."""

    def __init__(self, model_id: str) -> None:
        self.state = new_state(model_id)
        self.rows: list[bytes] = []
        self.steps: list[Step] = []

    def take(self, rows: Iterable[bytes]) -> None:
        """Follow the rows that come next; stop, with trouble, at one that does not continue the chain."""
        self.untroubled()
        for row in rows:
            try:
                step = read_step(self.state, row)
            except _Broken as broken:
                self.trouble(str(broken))
                return
            self.state = advance(self.state, step)
            self.rows.append(row)
            self.steps.append(step)

    def reaches(self, seq: int, row_hash: bytes) -> bool:
        """Whether row ``seq`` was followed and has that hash."""
        return len(self.steps) >= seq and self.steps[seq - 1].row_hash == row_hash

    def trouble(self, why: str) -> None:
        """Say why the chain is not followed; the state stays as it was last known."""
        self.state = replace(self.state, trouble=why)

    def untroubled(self) -> None:
        """The chain can be followed again."""
        if self.state.trouble is not None:
            self.state = replace(self.state, trouble=None)


def read_step(state: ModelState, row: bytes) -> Step:
    """The step that a row holds, which must be the next of the chain."""
    image, stored = row[:-_TAIL], row[-32:]
    place = f"row {state.seq + 1} of {state.model_id}"
    if row[-_TAIL:-32] != HASH_FIELD_LENGTH or link(state.row_hash, image) != stored:
        raise _Broken(f"{place} does not have the hash that follows from the rows before it")
    try:
        values = decode_image(STREAMS[STREAM], image)
        attributes = json.loads(str(values["attributes"]))
    except (DecodingError, ValueError) as error:
        raise _Broken(f"{place} can't be read: {error}") from error
    if (
        values["seq"] != state.seq + 1
        or values["model_id"] != state.model_id
        or not isinstance(attributes, dict)
    ):
        raise _Broken(f"{place} is missing: row {values['seq']!r} of {values['model_id']!r} is there instead")
    return Step(
        seq=state.seq + 1,
        event_time=_moment(values["event_time"]),
        received_at=_moment(values["received_at"]),
        action=str(values["action"]),
        version=str(values["model_version"]),
        actor=str(values["actor"]),
        digest=None if values["model_digest"] is None else str(values["model_digest"]),
        attributes=attributes,
        row_hash=stored,
    )


def _moment(value: Value) -> datetime:
    assert isinstance(value, datetime), "the column is timestamptz"
    return value
