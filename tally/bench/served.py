"""The inference service as the benchmark has it: with a collector, a database, photos, and who may ask."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import inference.spec
from tally.bench.bench_stack import BenchStack
from tally.bench.http_client import Client
from tally.bench.photos import Photos, photos
from tally.errors import ServiceFailed
from tally.testing import CollectorProcess, InferenceProcess

PHOTO_MODEL: Final = "waste-photos"
READINGS_MODEL: Final = "waste-sensors"
_KNOWN: Final = '["bench-*"]'
_SEATED_S: Final = 30.0
_POLL_S: Final = 0.01
_deposits = count()


def deposit() -> dict[str, object]:
    """Machine, site and transaction of a deposit that nobody asked about before: no answer is from memory."""
    number = next(_deposits)
    return {
        "sensor_id": f"bench-{number % 20:02d}",
        "transaction_id": f"bench-{number:08d}",
        "site_id": "bench-site",
    }


@dataclass(frozen=True, slots=True)
class Served:
    """A running service, the photos that it may read, and who may ask it."""

    service: InferenceProcess
    collector: CollectorProcess
    photos: Photos
    directory: Path

    def client(self, principal: str = "operator") -> Client:
        """A client with a principal's token."""
        return Client("127.0.0.1", self.service.http_port, self.service.token(principal))

    async def seated(self, client: Client, model: str) -> dict[str, Any]:
        """What ``/model/info`` says of a model's champion, waited for.

        Raises:
            ServiceFailed: it has none in half a minute.
        """
        deadline = time.monotonic() + _SEATED_S
        while True:
            status, content = await client.get(f"/model/info?model={model}")
            found: list[dict[str, Any]] = json.loads(content)["seated"] if status == 200 else []
            if found:
                return found[0]
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{model} has no champion:\n{self.service.log[-2000:]}")
            await asyncio.sleep(_POLL_S)

    async def step(self, client: Client, path: str, note: str = "benchmark") -> None:
        """Take a step of a model's life.

        Raises:
            ServiceFailed: the service does not take it.
        """
        status, answer = await client.post(f"/models/{path}", {"note": note})
        if status != 200:
            raise ServiceFailed(f"{path}: {status} {answer}")

    def train(self, seed: int) -> str:
        """Train a model of readings, on record; returns its version.

        Raises:
            ServiceFailed: it could not be trained.
        """
        packaged = Path(inference.spec.__file__).with_name("specs") / f"{READINGS_MODEL}.yaml"
        text = packaged.read_text(encoding="utf-8").replace("seed: 1", f"seed: {seed}")
        spec = self.directory / f"readings-{seed}.yaml"
        spec.write_text(text.replace("rows: 8000", "rows: 5000"), encoding="utf-8")
        command = [sys.executable, "-m", "tally", "train", str(spec), "--actor", "trainer", "--trials", "1"]
        command += ["--models", str(self.service.models_dir), "--collector", self.collector.grpc_endpoint]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
        environment["TALLY_VAR_DIR"] = str(self.directory)
        done = subprocess.run(
            [*command, "--json"], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode != 0:
            raise ServiceFailed(f"training ended with {done.returncode}: {done.stderr[-500:]}")
        return str(json.loads(done.stdout)["version"])


@contextmanager
def served(stack: BenchStack) -> Iterator[Served]:
    """A service that has taken up the packaged models; it ends with the block."""
    taken = photos(stack.directory / "photos")
    environment = {
        "TALLY_INFERENCE_ADOPT": "true",
        "TALLY_INFERENCE_SENSORS": _KNOWN,
        "TALLY_INFERENCE_PHOTO_ROOTS": json.dumps([str(taken.root)]),
    }
    folder = stack.directory / "inference"
    with (
        stack.database() as database,
        stack.collector(database) as collector,
        InferenceProcess(database, collector.grpc_endpoint, folder, environment) as service,
    ):
        yield Served(service, collector, taken, folder)
