"""Who may do what: exactly what the files of ``migrations/sql`` grant, and append-only for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from psycopg import errors

from ledger.streams import STREAMS
from tally.testing import Database
from tests.check_ledger import check_ledger

SERVICES: Final = ("tally_collector", "tally_audit", "tally_grafana", "tally_inference", "tally_sealer")
QUEUE: Final = ("review_queue", "review_progress")
SEALED: Final = ("seal_batches", "seals", "checkpoints")
Grant = tuple[str, str, str]
"""A role, a privilege (``SELECT(column)`` for one column) and a relation."""


def expected_grants() -> set[Grant]:
    grants: set[Grant] = set()
    for stream in (*STREAMS, "resources"):
        grants |= {("tally_collector", "INSERT", stream), ("tally_audit", "SELECT", stream)}
    for stream in STREAMS:
        grants |= {(role, "SELECT", f"{stream}_chained") for role in ("tally_audit", "tally_grafana")}
    for stream in ("telemetry", "events"):
        for column in ("machine_id", "seq", "received_at", "resource_digest"):
            grants.add(("tally_collector", f"SELECT({column})", stream))
    grants.add(("tally_collector", "SELECT", "resources"))
    grants |= {("tally_collector", privilege, "chain_heads") for privilege in ("SELECT", "INSERT", "UPDATE")}
    grants |= {
        ("tally_collector", privilege, "request_digests") for privilege in ("SELECT", "INSERT", "DELETE")
    }
    grants |= {("tally_audit", "SELECT", name) for name in ("chain_heads", "request_digests")}
    grants |= {(role, "SELECT", "alembic_version") for role in ("tally_collector", "tally_audit")}
    grants |= {(role, "SELECT", "telemetry_hourly") for role in ("tally_audit", "tally_grafana")}
    readable = (*STREAMS, "resources", "chain_heads", "alembic_version")
    grants |= {("tally_inference", "SELECT", name) for name in readable}
    grants |= {
        ("tally_inference", privilege, name)
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
        for name in QUEUE
    }
    grants |= {("tally_audit", "SELECT", name) for name in QUEUE}
    grants |= {("tally_sealer", "SELECT", name) for name in (*STREAMS, "chain_heads", "alembic_version")}
    grants |= {("tally_sealer", privilege, name) for privilege in ("SELECT", "INSERT") for name in SEALED}
    grants |= {("tally_audit", "SELECT", name) for name in SEALED}
    grants |= {(role, "SELECT", "dropped_runs") for role in ("tally_audit", "tally_sealer")}
    return grants


GRANTS = """
WITH relations AS (
    SELECT oid, relname, relowner, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)
        AS by_default, relacl
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
        AND relname NOT LIKE 'pg\\_stat\\_statements%'
)
SELECT coalesce(pg_roles.rolname, 'PUBLIC')::text, acl.privilege_type, relname::text, acl.is_grantable
FROM relations
CROSS JOIN aclexplode(coalesce(relacl, by_default)) AS acl
LEFT JOIN pg_roles ON pg_roles.oid = acl.grantee
WHERE acl.grantee <> relowner
UNION ALL
SELECT coalesce(pg_roles.rolname, 'PUBLIC')::text, acl.privilege_type || '(' || attname || ')', relname::text,
    acl.is_grantable
FROM relations
JOIN pg_attribute ON attrelid = relations.oid
CROSS JOIN aclexplode(attacl) AS acl
LEFT JOIN pg_roles ON pg_roles.oid = acl.grantee
WHERE acl.grantee <> relowner"""


def fetch(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_the_grants_are_those_documented_and_no_others(pristine: Database) -> None:
    found = fetch(pristine.admin_url, GRANTS)
    assert {grant[:3] for grant in found} == expected_grants()
    assert not [grant for grant in found if grant[3]], "nobody may pass a right on"


@pytest.mark.parametrize(
    "change",
    [
        "GRANT UPDATE ON telemetry TO tally_collector",
        "GRANT SELECT ON events TO PUBLIC",
        "GRANT DELETE ON chain_heads TO tally_audit",
        "GRANT UPDATE (row_hash) ON reviews TO tally_grafana",
        "REVOKE SELECT ON incidents FROM tally_audit",
    ],
)
def test_a_right_that_was_given_or_taken_is_found(change: str, database: Database) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(change.encode())
    assert {grant[:3] for grant in fetch(database.admin_url, GRANTS)} != expected_grants()


def test_everything_of_the_ledger_belongs_to_tally_owner(pristine: Database) -> None:
    owned = fetch(
        pristine.admin_url,
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'v', 'm') AND relowner = 'tally_owner'::regrole",
    )
    tables = {*STREAMS, *QUEUE, *SEALED, "resources", "chain_heads", "request_digests", "telemetry_hourly"}
    tables.add("dropped_runs")
    assert {name for (name,) in owned} == tables | {f"{stream}_chained" for stream in STREAMS}


def test_the_roles_have_no_power_beyond_their_grants(pristine: Database) -> None:
    """No superuser, no creating of roles or databases, no way around policies, no membership."""
    roles = ", ".join(f"'{role}'" for role in ("tally_owner", *SERVICES))
    assert fetch(
        pristine.admin_url,
        f"SELECT bool_or(rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication) "
        f"FROM pg_roles WHERE rolname IN ({roles})",
    ) == [(False,)]
    assert not fetch(
        pristine.admin_url,
        f"SELECT roleid::regrole, member::regrole FROM pg_auth_members "
        f"WHERE member::regrole::text IN ({roles}) OR roleid::regrole::text IN ({roles})",
    )
    assert not fetch(
        pristine.admin_url,
        "SELECT r.rolname FROM pg_roles AS r WHERE r.rolname LIKE 'tally\\_%' "
        "AND has_schema_privilege(r.rolname, 'public', 'CREATE')",
    )
    assert not fetch(
        pristine.admin_url,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef "
        "AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')",
    ), "a function that runs with its owner's rights would lend them"


def test_chunks_give_no_more_rights_than_their_stream(filled: Database) -> None:
    """A chunk is a table of its own that can be named."""
    chunks = fetch(
        filled.admin_url,
        "SELECT format('%I.%I', chunk_schema, chunk_name), hypertable_name::text "
        "FROM timescaledb_information.chunks",
    )
    assert {stream for _, stream in chunks} == set(STREAMS)
    for chunk, stream in chunks:
        found = fetch(
            filled.admin_url,
            "SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl) AS acl "
            f"WHERE pg_class.oid = '{chunk}'::regclass AND grantee <> relowner",
        )
        assert set(found) <= {grant[:2] for grant in expected_grants() if grant[2] == stream}
        for url in (filled.owner_url, filled.admin_url):
            for change in (f"UPDATE {chunk} SET row_hash = row_hash", f"DELETE FROM {chunk}"):
                refused(url, change, "append-only")


def refused(url: str, statement: str, because: str) -> None:
    with psycopg.connect(url) as connection, pytest.raises(errors.InsufficientPrivilege, match=because):
        connection.execute(statement.encode())


KEYS: Final = {
    "resources": "digest",
    "seal_batches": "batch",
    "seals": "batch",
    "checkpoints": "size",
    "dropped_runs": "first_seq",
}
"""A column, for tables that have no seq."""


def changes(table: str, column: str) -> Iterator[str]:
    yield f"UPDATE {table} SET {column} = {column}"
    yield f"DELETE FROM {table}"
    yield f"TRUNCATE {table}"


@pytest.mark.parametrize("table", [*STREAMS, "resources", *SEALED])
def test_a_stream_is_append_only_for_its_owner_and_for_a_superuser(table: str, filled: Database) -> None:
    for url in (filled.owner_url, filled.admin_url):
        for statement in changes(table, KEYS.get(table, "seq")):
            refused(url, statement, f"{table} is append-only")
    check_ledger(filled.audit_url)


def test_what_was_dropped_stays_on_record_for_everybody(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("INSERT INTO dropped_runs VALUES (1, 'events', 'a', 1, 9, sha256('x'))")
    for url in (database.owner_url, database.admin_url):
        for statement in changes("dropped_runs", "first_seq"):
            refused(url, statement, "dropped_runs is append-only")


@pytest.mark.parametrize("table", [*STREAMS, "resources", "chain_heads", *SEALED, "dropped_runs"])
def test_services_have_no_right_to_change_a_row(table: str, filled: Database) -> None:
    column = KEYS.get(table, "seq")
    urls = (filled.collector_url, filled.audit_url, filled.grafana_url, filled.inference_url)
    for url in (*urls, filled.sealer_url):
        for statement in changes(table, column):
            if table == "chain_heads" and url == filled.collector_url and statement.startswith("UPDATE"):
                refused(url, statement, "a chain head only moves forward")
            else:
                refused(url, statement, "permission denied")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chain_heads SET seq = seq - 1",
        "UPDATE chain_heads SET row_hash = sha256('x')",
        "UPDATE chain_heads SET chain = chain || '2', seq = seq + 1",
        "UPDATE chain_heads SET stream = 'other', seq = seq + 1 WHERE stream = 'events'",
    ],
)
def test_a_head_only_moves_forward(statement: str, filled: Database) -> None:
    for url in (filled.collector_url, filled.owner_url, filled.admin_url):
        refused(url, statement, "a chain head only moves forward")


def test_a_head_is_neither_deleted_nor_truncated(filled: Database) -> None:
    for statement in ("DELETE FROM chain_heads", "TRUNCATE chain_heads"):
        for url in (filled.owner_url, filled.admin_url):
            refused(url, statement, "append-only")


def test_the_auditor_and_grafana_read_and_do_not_write(filled: Database) -> None:
    for stream in STREAMS:
        assert fetch(filled.audit_url, f"SELECT count(*) FROM {stream}") == [(3,)]
        assert fetch(filled.grafana_url, f"SELECT count(*) FROM {stream}_chained") == [(3,)]
        for url in (filled.audit_url, filled.grafana_url):
            refused(url, f"INSERT INTO {stream} SELECT * FROM {stream}", "permission denied")
        refused(filled.grafana_url, f"SELECT count(*) FROM {stream}", "permission denied")
        refused(filled.collector_url, f"SELECT row_hash FROM {stream}", "permission denied")
    for url in (filled.audit_url, filled.grafana_url):
        refused(url, "INSERT INTO request_digests VALUES ('x')", "permission denied")


TRIGGERS = """
SELECT tgrelid::regclass::text, tgname::text, tgenabled::text FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal AND tgname <> 'ts_insert_blocker'"""


def test_the_triggers_are_there_and_on(pristine: Database) -> None:
    tables = (*STREAMS, *SEALED, "resources", "chain_heads", "dropped_runs")
    expected = {(table, name, "O") for table in tables
                for name in ("append_only", "no_truncate")}  # fmt: skip
    expected.add(("chain_heads", "forward_only", "O"))
    assert set(fetch(pristine.admin_url, TRIGGERS)) == expected


def test_a_trigger_that_was_switched_off_is_found(database: Database) -> None:
    before = set(fetch(database.admin_url, TRIGGERS))
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("ALTER TABLE resources DISABLE TRIGGER append_only")
    assert set(fetch(database.admin_url, TRIGGERS)) != before
