"""Rows as the real collector writes them to the real database."""

from __future__ import annotations

import grpc
import psycopg
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub

from tally.testing import Database
from tests.check_ledger import check_ledger
from tests.conftest import StartCollector
from tests.otlp_requests import gauge, metrics, number, resource


def test_a_machine_whose_records_are_all_refused_holds_up_nobody(
    database: Database, collector: StartCollector
) -> None:
    request = metrics(gauge(number(float("nan"))), sender=resource("bad"))
    request.MergeFrom(metrics(gauge(number(1.0)), sender=resource("good")))
    running = collector(database)
    with grpc.insecure_channel(running.grpc_endpoint) as channel:
        reply = MetricsServiceStub(channel).Export(request, timeout=10)
    assert reply.partial_success.rejected_data_points == 1
    with psycopg.connect(database.audit_url) as connection:
        machines = connection.execute("SELECT machine_id FROM telemetry").fetchall()
        heads = connection.execute("SELECT chain, seq FROM chain_heads").fetchall()
    assert machines == [("good",)]
    assert heads == [("good", 1)]
    check_ledger(database.audit_url)
