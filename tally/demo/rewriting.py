"""The operator who owns everything: a deposit is altered, and all that hangs on it is made to fit.

Database superuser, and holder of the log's key: row, chain, head, seals, statements, trees, tiles and
checkpoint are made again as if the deposit had always weighed that much.  What was there is kept, to be put
back.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg import sql

from audit.sealing.log_files import LogFiles
from audit.sealing.reading import batch_entries, found_rows
from ledger.chain import genesis, link
from ledger.checkpoints import Checkpoint
from ledger.growth import Edge, grow
from ledger.heads import statement_digest, statement_text
from ledger.notes import Note, SigningKey, sign_note
from ledger.rows import encode_row
from ledger.streams import STREAMS
from store.seals import SealStore
from tally.demo.attack import Target

_STREAM: Final = STREAMS["transactions"]
_TABLES: Final = (_STREAM.name, "chain_heads", "seals", "seal_batches", "checkpoints")


class Rewriter:
    """A superuser's session in which no trigger fires."""

    def __init__(self, url: str) -> None:
        """Keep a copy of every table that is going to be altered."""
        self._url = url
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("SET session_replication_role = replica")
        for table in _TABLES:
            self._run("CREATE TEMPORARY TABLE {kept} AS SELECT * FROM {table}", table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def restore(self) -> None:
        """Put everything back as it was."""
        with self._connection.transaction():
            for table in _TABLES:
                self._run("DELETE FROM {table}", table)
                self._run("INSERT INTO {table} SELECT * FROM {kept}", table)

    def rewrite(self, target: Target, folder: Path, key: SigningKey) -> Note:
        """Make the deposit heavier and everything fit; returns the new head, published in ``folder``."""
        with self._connection.transaction():
            self._connection.execute(
                "UPDATE transactions SET mass_mg = %s WHERE machine_id = %s AND seq = %s",
                (target.forged_mg, target.machine, target.seq),
            )
            self._rechain(target)
        return self._reseal(folder, key)

    def _rechain(self, target: Target) -> None:
        """Every hash of the chain from the row on, the chain's head, and what its seals say of it."""
        names = _STREAM.column_names
        columns = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(name)) if name == "attributes" else sql.Identifier(name)
            for name in names
        )
        rows = self._connection.execute(
            sql.SQL("SELECT {} FROM transactions WHERE machine_id = %s ORDER BY seq").format(columns),
            (target.machine,),
        ).fetchall()
        previous = genesis(_STREAM.name, target.machine)
        for row in rows:
            values = dict(zip(names, row, strict=True))
            seq = values.pop("seq")
            before = values.pop("row_hash")
            previous = link(previous, encode_row(_STREAM, values).image(seq))
            if previous != before:
                self._connection.execute(
                    "UPDATE transactions SET row_hash = %s WHERE machine_id = %s AND seq = %s",
                    (previous, target.machine, seq),
                )
        for table, seq in (("chain_heads", "seq"), ("seals", "last_seq")):
            self._connection.execute(
                sql.SQL(
                    "UPDATE {table} AS t SET row_hash = r.row_hash FROM transactions AS r "
                    "WHERE t.stream = 'transactions' AND t.chain = %(chain)s "
                    "AND r.machine_id = %(chain)s AND r.seq = t.{seq}"
                ).format(table=sql.Identifier(table), seq=sql.Identifier(seq)),
                {"chain": target.machine},
            )

    def _reseal(self, folder: Path, key: SigningKey) -> Note:
        """Every statement, tree and tile; the last head, signed with the log's own key."""
        files = LogFiles(folder)
        edge = Edge.empty()
        with SealStore(self._url) as store:
            number = 1
            while (sealed := store.of_batch(number)) is not None:
                text = statement_text(sealed.batch, (head.line for head in store.heads(number)))
                self._connection.execute(
                    "UPDATE seal_batches SET heads_digest = %s WHERE batch = %s",
                    (statement_digest(text), number),
                )
                again = store.of_batch(number)
                assert again is not None, "it was there a moment ago"
                seals = list(store.seals(sealed.batch.first_leaf, sealed.batch.size))
                entries, lost = batch_entries(again, seals, found_rows(store, seals))
                assert lost is None, "nothing was taken away"
                edge, tiles = grow(edge, entries)
                files.put_tiles(tiles)
                self._connection.execute(
                    "UPDATE seal_batches SET root = %s WHERE batch = %s", (edge.root, number)
                )
                number += 1
            note = sign_note(Checkpoint(key.name, edge.size, edge.root).text, key)
            files.put_note(note)
            self._connection.execute("DELETE FROM checkpoints")
            store.publish(edge.size, str(note), witnessed=False)
        return note

    def _run(self, statement: str, table: str) -> None:
        names = {"table": sql.Identifier(table), "kept": sql.Identifier(f"kept_{table}")}
        self._connection.execute(sql.SQL(statement).format(**names))
