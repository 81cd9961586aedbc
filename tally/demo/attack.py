"""The operator who cheats: a database superuser who makes one deposit weigh more, and puts it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import dict_row

FACTOR: Final = 40
"""How much heavier the deposit becomes."""


@dataclass(frozen=True, slots=True)
class Target:
    """The deposit that is attacked."""

    machine: str
    seq: int
    material: str
    transaction: str
    mass_mg: int

    @property
    def forged_mg(self) -> int:
        """What the attacker writes."""
        return self.mass_mg * FACTOR


def refused(url: str, target: Target) -> str:
    """Try it the plain way, as superuser; returns PostgreSQL's answer, which is a refusal.

    Raises:
        AssertionError: the change went through, so the append-only trigger does not work.
    """
    with psycopg.connect(url) as connection:
        try:
            connection.execute(
                "UPDATE transactions SET mass_mg = %s WHERE machine_id = %s AND seq = %s",
                (target.forged_mg, target.machine, target.seq),
            )
        except psycopg.errors.InsufficientPrivilege as error:
            return str(error).splitlines()[0]
    raise AssertionError("a superuser changed a row and no trigger refused it")


def choose(url: str, fleet: str) -> Target:
    """The heaviest deposit of a fleet."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        row = connection.execute(
            "SELECT machine_id, seq, material, transaction_id, mass_mg FROM transactions "
            "WHERE starts_with(machine_id, %s) ORDER BY mass_mg DESC, machine_id, seq LIMIT 1",
            (f"{fleet}-",),
        ).fetchone()
    assert row is not None, "the fleet has deposited something"
    return Target(row["machine_id"], row["seq"], row["material"], row["transaction_id"], row["mass_mg"])


def write(url: str, target: Target, mass_mg: int) -> None:
    """Switch the triggers off, write ``mass_mg``, switch them on: nothing in the schema shows it."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE transactions SET mass_mg = %s WHERE machine_id = %s AND seq = %s",
            (mass_mg, target.machine, target.seq),
        )
        connection.execute("SET session_replication_role = origin")


def reported_mg(url: str, fleet: str) -> int:
    """The figure that a report would show: net mass of all deposits of a fleet, milligrams."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(mass_mg), 0)::bigint FROM transactions WHERE starts_with(machine_id, %s)",
            (f"{fleet}-",),
        ).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])
