"""The collector without its hash chain, to measure what chaining costs.

Only the benchmark can reach this: no setting of the collector does it.  The rows that it writes don't verify.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import collector.__main__
import collector.pipeline
import store.writer
from ledger.batch import Chained, ChainKey, Head, Request, chain_keys
from ledger.rows import COPY_HEADER, COPY_TRAILER, HASH_FIELD_LENGTH

_NO_HASH: Final = bytes(32)


def unchained_batch(requests: Sequence[Request], heads: Mapping[ChainKey, Head]) -> Chained:
    """As ``ledger.batch.chain_batch``, with a constant in the place of every hash."""
    keys = chain_keys(requests)
    after: dict[ChainKey, Head] = {}
    parts: dict[str, list[bytes]] = {}
    counts: dict[str, int] = {}
    for key in keys:
        seq = heads[key].seq
        out = parts.setdefault(key[0], [COPY_HEADER])
        append = out.append
        for request in requests:
            for before, rest in request.rows.get(key, ()):
                seq += 1
                append(before + seq.to_bytes(8, "big") + rest)
                append(HASH_FIELD_LENGTH)
                append(_NO_HASH)
        counts[key[0]] = counts.get(key[0], 0) + seq - heads[key].seq
        after[key] = Head(seq, _NO_HASH)
    copies = {stream: b"".join([*out, COPY_TRAILER]) for stream, out in parts.items()}
    return Chained({key: heads[key] for key in keys}, after, copies, counts)


if __name__ == "__main__":
    for module in (collector.pipeline, store.writer):
        module.chain_batch = unchained_batch  # type: ignore[attr-defined]
    sys.exit(collector.__main__.main())
