"""A ledger in memory with its log in a folder, which bundles are made of as of a real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from audit.bundle.build import Bundled, Contents, make_bundle
from audit.sealing.log_files import CHECKPOINT, WITNESSED, LogFiles
from ledger.chain import genesis, link
from ledger.checkpoints import Checkpoint
from ledger.cosignatures import cosign
from ledger.growth import Edge, grow
from ledger.heads import Batch, ChainHead, statement_digest, statement_entry, statement_text
from ledger.notes import Note, SigningKey, sign_note
from ledger.rows import HASH_FIELD_LENGTH, Value, decode_image, encode_row
from ledger.streams import STREAMS, Stream
from store.reader import LedgerReader, Period, Place
from store.seals import Published, Seal, Sealed, SealStore
from tests.ledger_writer import SENDER, SENDER_DIGEST, sample
from tests.sealing import KEY, WITNESSES, policy_text

START: Final = datetime(2026, 3, 1, tzinfo=UTC)
END: Final = START + timedelta(days=1)
POLICY: Final = policy_text(*WITNESSES, quorum=2)
QUERIES: Final = {"claims": "SELECT 1\n", "claims_late": "SELECT 2\n"}


class SealedMemory:
    """Rows by stream and chain, batches, and the log's files."""

    def __init__(self, folder: Path) -> None:
        self.files = LogFiles(folder)
        self.chains: dict[tuple[str, str], list[bytes]] = {}
        self.sites: dict[tuple[str, str], set[str]] = {}
        self.sealed: list[Sealed] = []
        self.all_seals: list[Seal] = []
        self.notes: list[Published] = []
        self._edge = Edge.empty()
        self._heads: list[dict[tuple[bytes, bytes], ChainHead]] = []

    def append(self, stream: str, rows: Iterable[Mapping[str, Value]]) -> None:
        definition = STREAMS[stream]
        for values in rows:
            row = encode_row(definition, values)
            chain = self.chains.setdefault((stream, row.chain), [])
            image = row.image(len(chain) + 1)
            previous = chain[-1][-32:] if chain else genesis(stream, row.chain)
            chain.append(image + HASH_FIELD_LENGTH + link(previous, image))
            site = values.get("site_id")
            if isinstance(site, str):
                self.sites.setdefault((stream, row.chain), set()).add(site)

    def fill(self, stream: str, chain: str, number: int, /, **values: Value) -> None:
        first = len(self.chains.get((stream, chain), ())) + 1
        self.append(stream, (sample(STREAMS[stream], chain, first + n) | values for n in range(number)))

    def seal(self, at: datetime) -> None:
        number = len(self.sealed) + 1
        heads = dict(self._heads[-1]) if self._heads else {}
        first_leaf = self._edge.size
        entries: list[bytes] = []
        for stream, chain in sorted(self.chains, key=lambda key: (key[0].encode(), key[1].encode())):
            rows = self.chains[stream, chain]
            before = heads.get((stream.encode(), chain.encode()))
            first = before.seq + 1 if before else 1
            if first > len(rows):
                continue
            sites = tuple(sorted(self.sites.get((stream, chain), ())))
            leaf = first_leaf + len(entries)
            seal = Seal(number, stream, chain, first, len(rows), leaf, rows[-1][-32:], sites)
            self.all_seals.append(seal)
            heads[seal.head.place] = seal.head
            entries += [row[-32:] for row in rows[first - 1 :]]
        batch = Batch(KEY.name, number, first_leaf, len(entries) + 1, at)
        digest = statement_digest(statement_text(batch, (heads[place].line for place in sorted(heads))))
        self._edge, files = grow(self._edge, [*entries, statement_entry(digest)])
        self.files.put_tiles(files)
        self._heads.append(heads)
        self.sealed.append(Sealed(batch, self._edge.root, digest))

    def publish(self, witnesses: Sequence[SigningKey] = WITNESSES[:2], token: bytes | None = None) -> Note:
        head = Checkpoint(KEY.name, self._edge.size, self._edge.root)
        note = sign_note(head.text, KEY)
        lines = tuple(cosign(head.text, witness, self.cosigned_s()) for witness in witnesses)
        note = Note(note.text, note.signatures + lines)
        self.files.put_note(note, WITNESSED if witnesses else CHECKPOINT)
        self.notes.insert(0, Published(head.size, bool(witnesses), START, str(note), token))
        return note

    def cosigned_s(self) -> int:
        """A minute after the last batch was sealed."""
        return int(self.sealed[-1].batch.sealed_at.timestamp()) + 60

    # --- what a SealStore answers ---

    def last(self) -> Sealed | None:
        return self.sealed[-1] if self.sealed else None

    def of_batch(self, number: int) -> Sealed | None:
        return self.sealed[number - 1] if 1 <= number <= len(self.sealed) else None

    def of_size(self, size: int) -> Sealed | None:
        return next((one for one in self.sealed if one.batch.size == size), None)

    def heads(self, batch: int) -> list[ChainHead]:
        found = self._heads[batch - 1]
        return [found[place] for place in sorted(found)]

    def seals(self, first_leaf: int, end_leaf: int) -> Iterator[Seal]:
        return (seal for seal in self.all_seals if first_leaf <= seal.first_leaf < end_leaf)

    def seal_of(self, stream: str, chain: str, seq: int) -> Seal | None:
        return next(
            (
                seal
                for seal in self.all_seals
                if (seal.stream, seal.chain) == (stream, chain) and seal.first_seq <= seq <= seal.last_seq
            ),
            None,
        )

    def published(self, **_limits: Any) -> list[Published]:
        return self.notes

    # --- what a LedgerReader answers ---

    def rows(self, stream: Stream, first: Place, end: Place) -> Iterator[bytes]:
        assert first.chain == end.chain
        return iter(self.chains[stream.name, first.chain][first.seq - 1 : end.seq - 1])

    def period(self, stream: Stream, since: datetime, until: datetime) -> Iterator[Period]:
        for (name, chain), rows in self.chains.items():
            if name == stream.name:
                times = [decode_image(stream, row[:-36])["event_time"] for row in rows]
                found = [n for n, moment in enumerate(times, 1) if since <= moment < until]  # type: ignore[operator]
                if found:
                    yield Period(chain, found[0], found[-1])

    def resources(self) -> Iterator[tuple[bytes, bytes]]:
        yield SENDER_DIGEST, SENDER

    # --- bundles of it ---

    def contents(self, **changes: Any) -> Contents:
        values: dict[str, Any] = {
            "start": START,
            "end": END,
            "sites": (),
            "policy": POLICY.encode(),
            "texts": QUERIES,
            "factors": {"set.csv": b"a,b\r\n"},
            "report": {},
        }
        return Contents(**values | changes)

    def bundle(self, place: Path, contents: Contents | None = None) -> Bundled:
        reader, store = cast("LedgerReader", self), cast("SealStore", self)
        return make_bundle(reader, store, self.files, place, contents or self.contents())


def small_ledger(folder: Path) -> SealedMemory:
    """Two machines at two sites, one of them in two streams; rows before, in and after the period."""
    ledger = SealedMemory(folder)
    before = START - timedelta(hours=1)
    ledger.fill("transactions", "M1", 3, site_id="north", event_time=before)
    ledger.fill("telemetry", "M1", 4, unit="", start_time=None, count=None, event_time=before)
    ledger.fill("governance", "model", 1, event_time=before)
    ledger.seal(before)
    for hour in (1, 30, 80):
        moment = START + timedelta(hours=hour)
        ledger.fill("transactions", "M1", 5, site_id="north", event_time=moment)
        ledger.fill(
            "transactions",
            "M2 é",
            4,
            site_id="south",
            material=None,
            lot_id='a "lot",\r\nof two lines',
            event_time=moment,
        )
        ledger.fill("telemetry", "M1", 6, unit="", start_time=None, event_time=moment)
        ledger.fill("telemetry", "M3", 2, value=-0.0, event_time=moment)
        ledger.fill("events", "M2 é", 2, site_id=None, body="", event_time=moment)
        ledger.seal(moment)
    ledger.publish()
    return ledger
