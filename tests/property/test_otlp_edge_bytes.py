"""Bytes of any kind, through both transports: no 5xx but 503, no defect logged, nothing kept in hand."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from collector.ingest import Signal
from tests.integration.otlp_servers import EXPORT, REQUESTS, OtlpServers, RecordingIngest, raw_http
from tests.property.test_otlp_edge_json import SAMPLES, TOKENS, messages

SIGNALS = st.sampled_from(sorted(REQUESTS))
LIMIT = 1 << 20
COMPRESSIONS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zlib.compress]
EXAMPLES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ALLOWED_CODES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
ALLOWED_STATUSES = {200, 400, 404, 405, 413, 415}


class Edge:
    """Both servers and a client of each."""

    def __init__(self, servers: OtlpServers, client: httpx.Client, channel: grpc.Channel) -> None:
        self.servers = servers
        self.client = client
        self.channel = channel

    def call(self, signal: str, body: bytes, compression: grpc.Compression) -> Any:
        method: Any = self.channel.unary_unary(EXPORT[signal])
        try:
            method(body, compression=compression, timeout=20)
        except grpc.RpcError as error:
            failed: Any = error
            return failed.code()
        return grpc.StatusCode.OK


@pytest.fixture(scope="module")
def running() -> Iterator[Edge]:
    with (
        OtlpServers(RecordingIngest(), max_bytes=LIMIT, body_timeout_s=2.0) as servers,
        httpx.Client(base_url=servers.url, verify=False, timeout=20) as client,
        grpc.insecure_channel(f"127.0.0.1:{servers.grpc_port}") as channel,
    ):
        yield Edge(servers, client, channel)


@pytest.fixture
def edge(running: Edge) -> Iterator[Edge]:
    with capture_logs() as lines:
        yield running
    assert lines == []
    assert running.servers.budget.held_bytes == 0


@st.composite
def bodies(draw: st.DrawFn, signal: Signal) -> bytes:
    """Random bytes, or a valid request, whole or mutated, plain or compressed."""
    body = draw(
        st.binary(max_size=300)
        | messages(REQUESTS[signal]).map(lambda request: request.SerializeToString())
        | st.just(SAMPLES[signal])
    )
    data = bytearray(draw(st.sampled_from(COMPRESSIONS))(body))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 5))] = draw(st.binary(max_size=4) | st.sampled_from(TOKENS))
    return bytes(data)


@given(data=st.data(), signal=SIGNALS)
@EXAMPLES
def test_grpc_answers_any_message_with_a_code_that_is_no_defect(
    edge: Edge, data: st.DataObject, signal: Signal
) -> None:
    compression = data.draw(st.sampled_from(grpc.Compression))
    assert edge.call(signal, data.draw(bodies(signal)), compression) in ALLOWED_CODES


@given(data=st.data(), signal=SIGNALS)
@EXAMPLES
def test_http_answers_any_body_with_a_status_that_is_no_defect(
    edge: Edge, data: st.DataObject, signal: Signal
) -> None:
    headers = {
        "content-type": data.draw(
            st.sampled_from(["application/x-protobuf", "application/json", "text/plain"])
        ),
        "content-encoding": data.draw(st.sampled_from(["identity", "gzip", "deflate", "br"])),
    }
    response = edge.client.post(f"/v1/{signal}", content=data.draw(bodies(signal)), headers=headers)
    assert response.status_code in ALLOWED_STATUSES
    if headers["content-type"] != "text/plain":
        assert response.headers["content-type"] == headers["content-type"]


@given(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40),
    st.sampled_from(["POST", "GET", "PUT", "BREW", "CONNECT"]),
    st.sampled_from(
        ["/v1/metrics", "/v1/logs", "/v1/traces", "/", "/%ff", "/v1/metrics?x=%00", "*", "/\xe9"]
    ),
)
@settings(EXAMPLES, max_examples=80)
def test_http_answers_any_header_with_a_status_that_is_no_defect(
    edge: Edge, media: str, encoding: str, method: str, path: str
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {media}\r\n"
    head += f"Content-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\n"
    answer = raw_http(edge.servers.http_port, head.encode("latin-1") + b"{}")
    status = re.match(rb"HTTP/1.1 (\d{3})", answer)
    assert status
    assert int(status[1]) in ALLOWED_STATUSES
