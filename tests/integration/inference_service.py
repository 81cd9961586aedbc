"""A running inference service with what is around it, as tests ask it."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any, Final

import httpx
import psycopg

from tally.testing import CollectorProcess, Database, InferenceProcess
from tests.inference_models import (
    SHADES,
    photo,
)

MARKS: Final = count(1)
_ARRIVES_S: Final = 10.0


class PhotoHost(BaseHTTPRequestHandler):
    """A host of photos: a good one, one that never ends, one that says nothing."""

    released = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/hangs":
            self.released.wait(20)
            return
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.end_headers()
        if self.path == "/good":
            self.wfile.write(photo(SHADES["metal"]))
        if self.path == "/endless":
            try:
                for _ in range(200):
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass
class Service:
    """A running service with what is around it."""

    process: InferenceProcess
    collector: CollectorProcess
    database: Database
    client: httpx.Client
    photo_host: str

    def photo(self, content: bytes, name: str | None = None) -> str:
        """A URL of that photo, put where photos may come from."""
        path = self.process.photos_dir / (name or f"{next(MARKS)}.bin")
        path.write_bytes(content)
        return path.as_uri()

    def ask(self, **body: Any) -> httpx.Response:
        """POST /predict, of a sensor that is known."""
        return self.client.post("/predict", json={"sensor_id": "rvm-1", **body})

    def rows(self, column: str, value: str) -> list[dict[str, Any]]:
        """Rows of predictions, now."""
        with psycopg.connect(self.database.audit_url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(
                f"SELECT * FROM predictions WHERE {column} = %s ORDER BY seq",
                (value,),
            ).fetchall()

    def arrived(self, column: str, value: str, number: int = 1) -> list[dict[str, Any]]:
        """Rows of predictions, as soon as there are so many and nothing waits in the outbox."""
        deadline = time.monotonic() + _ARRIVES_S
        while True:
            rows = self.rows(column, value)
            if len(rows) >= number and waiting(self.process) == 0:
                return self.rows(column, value)
            assert time.monotonic() < deadline, f"{len(rows)} rows, {waiting(self.process)} wait"
            time.sleep(0.05)

    def recorded(self) -> int:
        """How many predictions are on record: rows, with what waits in the outbox sent first."""
        deadline = time.monotonic() + _ARRIVES_S
        while waiting(self.process):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with psycopg.connect(self.database.audit_url) as connection:
            return int(connection.execute("SELECT count(*) FROM predictions").fetchall()[0][0])


def waiting(process: InferenceProcess) -> int:
    """Requests in the outbox."""
    with sqlite3.connect(process.state_dir / "outbox.sqlite", timeout=10) as outbox:
        (number,) = outbox.execute("SELECT requests FROM total").fetchone()
    outbox.close()
    return int(number)


def reason(answer: httpx.Response) -> str:
    """The reason of a refusal, which must have a sentence too."""
    error = answer.json()["error"]
    assert " " in error["message"]
    return str(error["reason"])
