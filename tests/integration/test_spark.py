"""The published SQL, unchanged, on Spark: the same rows as on DuckDB.

Only what stands before it is Spark's own: the evidence as files, ``parameters`` and ``bounds``.  Spark is no
requirement of ours: ``pip install pyspark`` and a Java runtime let these tests run.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from audit.invariants import rules
from audit.reconcile.masses import item_masses
from audit.reconcile.parameters import Parameters
from audit.relations import RELATIONS, relation_sql
from store.analysis import EVIDENCE, KEYED
from tests.evidence import PERIOD, Reconciled, in_microseconds, in_order, reconciled
from tests.odd_fleets import busy_fleet

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java runtime"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]

_TYPES: Final = {"text": "string", "double precision": "double", "timestamp with time zone": "timestamp"}

_MICROSECONDS: Final = r"CAST\(round\(date_part\('epoch', (\w+)\) \* 1000000\) AS bigint\)"


def in_spark(text: str) -> str:
    """``parameters`` and ``bounds`` with Spark's names of types."""
    for ours, sparks in _TYPES.items():
        text = text.replace(f" AS {ours})", f" AS {sparks})")
    return text


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession  # type: ignore[import-not-found,unused-ignore]

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.crossJoin.enabled", "true")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def compute_in_spark(session: Any, folder: Path, parameters: Parameters) -> None:
    """Everything under the names that it has elsewhere; relations are kept, as on the other engines."""
    for name in EVIDENCE:
        evidence = session.read.parquet(str(folder / f"{name}.parquet"))
        if name in KEYED:
            evidence = evidence.selectExpr("*", "xxhash64(transaction_id) AS transaction_key")
        evidence.createOrReplaceTempView(name)
    for name, text in (("parameters", parameters.sql), ("bounds", item_masses().sql)):
        session.sql(in_spark(text)).createOrReplaceTempView(name)
    for name in RELATIONS:
        kept = session.sql(relation_sql(name)).cache()
        kept.count()
        kept.createOrReplaceTempView(name)
    for rule in rules():
        if rule.sql:
            session.sql(rule.sql).createOrReplaceTempView(f"rule_{rule.name}")


def rows_in_spark(session: Any, text: str) -> list[dict[str, Any]]:
    """``text``: of ``in_microseconds``, which Spark has another function for."""
    text = re.sub(_MICROSECONDS, r"unix_micros(\1)", text)
    return in_order(
        {name: int(value) if isinstance(value, Decimal) else value for name, value in row.asDict().items()}
        for row in session.sql(text).collect()
    )


@pytest.fixture(scope="module")
def both(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Reconciled]]:
    """The busy fleet on both engines."""
    folder = tmp_path_factory.mktemp("evidence")
    computed = reconciled(busy_fleet(), folder)
    compute_in_spark(spark, folder, PERIOD)
    yield spark, computed
    computed.close()


@pytest.mark.parametrize("name", [*RELATIONS, *(f"rule_{rule.name}" for rule in rules() if rule.sql)])
def test_spark_gives_the_same_rows(both: tuple[Any, Reconciled], name: str) -> None:
    session, computed = both
    text = in_microseconds(computed.engine, name)
    expected = in_order(computed.engine.rows(text))
    assert expected, "the fleet has something for every relation and every rule"
    assert rows_in_spark(session, text) == expected
