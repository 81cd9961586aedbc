"""Keeping what is found within bounds: everything is counted, the first of each kind and chain are named.

Evidence is kept as it is while there is little of it, so that pieces from different processes can be put
together. When there is much, it is diagnosed where it was met, some hundred neighbouring pieces at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Final

from audit.breaks import Break, BreakKind
from audit.diagnosis import diagnose
from audit.evidence import Evidence, Undescribed, weight, where
from ledger.streams import Stream

NAMED_PER_CHAIN: Final = 100
"""Breaks of one kind that are named for a chain; more are counted."""
NAMED: Final = 2_000
"""Breaks that are named for a stream."""
_PIECES: Final = 256
_BYTES: Final = 4 << 20
_POOL: Final = 16


@dataclass(slots=True)
class Named:
    """Breaks, of which only so many are kept; ``counts`` has all, in rows, by stream and kind."""

    breaks: list[Break] = field(default_factory=list)
    counts: Counter[tuple[str, BreakKind]] = field(default_factory=Counter)
    _per_stream: Counter[str] = field(default_factory=Counter)
    _per_chain: Counter[tuple[str, str, BreakKind]] = field(default_factory=Counter)

    def add(self, found: Iterable[Break], counts: Counter[tuple[str, BreakKind]] | None = None) -> None:
        """Count these and keep them if there is room; ``counts`` if they stand for more than themselves."""
        if counts is not None:
            self.counts.update(counts)
        for one in found:
            if counts is None:
                self.counts[one.stream, one.kind] += one.rows
            chain = one.stream, one.chain, one.kind
            if self._per_stream[one.stream] < NAMED and self._per_chain[chain] < NAMED_PER_CHAIN:
                self._per_stream[one.stream] += 1
                self._per_chain[chain] += 1
                self.breaks.append(one)


@dataclass(slots=True)
class Findings:
    """What one walk found: evidence if it is little, else breaks; made to travel between processes."""

    stream: str
    evidence: list[Evidence] = field(default_factory=list)
    named: Named = field(default_factory=Named)


class Collector:
    """Takes the evidence of one walk."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held: list[Evidence] = []
        self._bytes = 0
        self._named = Named()
        self._overflown = False

    def note(self, piece: Evidence) -> None:
        """Take a piece of evidence."""
        full = len(self._held) >= _PIECES or self._bytes > _BYTES
        if full and (self._apart(piece) or len(self._held) >= 2 * _PIECES or self._bytes > _BYTES):
            self._diagnose()
        self._held.append(piece)
        self._bytes += weight(piece)

    def findings(self) -> Findings:
        """All that was found."""
        if self._overflown:
            self._diagnose()
        return Findings(self._stream.name, self._held, self._named)

    def _apart(self, piece: Evidence) -> bool:
        """Whether it lies away from the piece before: a good place to cut."""
        (chain, seq), (last_chain, last_seq) = where(piece), where(self._held[-1])
        return chain != last_chain or seq > last_seq + 1

    def _diagnose(self) -> None:
        self._overflown = True
        self._named.add(diagnose(self._stream, self._held, pool=_POOL))
        self._held = []
        self._bytes = 0


class Verdict:
    """Puts the findings of all walks together."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self._streams = {stream.name: stream for stream in streams}
        self._evidence: dict[str, list[Evidence]] = {name: [] for name in self._streams}
        self._bytes = 0
        self._named = Named()

    def add(self, findings: Findings) -> None:
        """Take what one walk found."""
        self._named.add(findings.named.breaks, findings.named.counts)
        size = sum(weight(piece) for piece in findings.evidence)
        if self._bytes + size > 16 * _BYTES or len(self._evidence[findings.stream]) > 16 * _PIECES:
            stream = self._streams[findings.stream]
            self._named.add(diagnose(stream, findings.evidence, pool=_POOL))
            return
        self._bytes += size
        self._evidence[findings.stream].extend(findings.evidence)

    def add_named(self, named: Named) -> None:
        """Take breaks that another process has counted."""
        self._named.add(named.breaks, named.counts)

    def add_breaks(self, breaks: Iterable[Break]) -> None:
        """Take breaks that were found otherwise than by walking."""
        self._named.add(breaks)

    def conclude(self, misnamed: Container[bytes] = frozenset()) -> Named:
        """The breaks that explain everything.

        ``misnamed``: digests of descriptions that are kept under another one, which is reported as such.
        """
        for name, evidence in self._evidence.items():
            left = [
                piece
                for piece in evidence
                if not (isinstance(piece, Undescribed) and piece.digest in misnamed)
            ]
            self._named.add(diagnose(self._streams[name], left))
            evidence.clear()
        return self._named
