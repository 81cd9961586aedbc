"""Fixtures of the integration tests: one inference service for all that only ask it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import httpx
import pytest

from tally.testing import Cluster, CollectorProcess, InferenceProcess
from tests.inference_models import (
    promote,
    write_photo_model,
    write_readings_model,
)
from tests.integration.inference_service import PhotoHost, Service


@pytest.fixture(scope="session")
def photo_host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), PhotoHost)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    PhotoHost.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def service(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory, photo_host: str
) -> Iterator[Service]:
    """One service for the session, with a champion of each kind."""
    directory = tmp_path_factory.mktemp("inference")
    database = cluster.create(template)
    collector = CollectorProcess(database, directory)
    process = InferenceProcess(
        database,
        collector.grpc_endpoint,
        directory,
        {
            "TALLY_INFERENCE_SENSORS": '["rvm-*"]',
            "TALLY_INFERENCE_PHOTO_HOSTS": json.dumps([f"internal:{photo_host}"]),
            "TALLY_INFERENCE_FOLLOW_S": "0.2",
        },
    )
    with collector:
        folders = [
            write_photo_model(process.models_dir, "v1", covers={"metal": ("aluminium_can", "steel_can")}),
            write_readings_model(process.models_dir, "v1"),
        ]
        promote(database.inference_url, collector.grpc_endpoint, *folders)
        with (
            process,
            httpx.Client(base_url=process.http_url, headers=process.headers(), timeout=30) as client,
        ):
            process.wait_ready()
            yield Service(process, collector, database, client, photo_host)
    cluster.drop(database.name)
