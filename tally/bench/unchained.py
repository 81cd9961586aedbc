"""The collector without its hash chain, to measure what chaining costs.

Only the benchmark can reach this: no setting of the collector does it.  The rows that it writes don't verify.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

import collector.__main__
import ledger.batch
from ledger.batch import START, Halves, Head, Reading

_NO_HASH: Final = bytes(32)


def unlinked_rows(groups: Iterator[Sequence[Halves | Reading]], head: Head, pieces: list[bytes]) -> Head:
    """As ``ledger.batch.link_rows``, with a constant in the place of every hash."""
    seq = head.seq
    append = pieces.append
    for rows in groups:
        for row in rows:
            seq += 1
            if len(row) == 2:
                append(_NO_HASH + row[0] + seq.to_bytes(8, "big") + row[1])
            else:
                pack, event_us, before, middle, value, after = row
                append(pack(_NO_HASH, START, event_us, before, seq, middle, value, after))
    return Head(seq, _NO_HASH)


if __name__ == "__main__":
    ledger.batch.link_rows = unlinked_rows
    sys.exit(collector.__main__.main())
