-- Purpose: the runs of rows of one chunk: rows of one chain whose seqs follow each other.  A row without chain or seq,
--          or two of one seq, which only tampering makes, show as runs that do not fit.
-- chunk, chain: identifiers
-- Returns: chain, first_seq, last_seq, rows, last_hash (of the last row)
SELECT textsend(chain) AS chain, min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS rows,
    (array_agg(row_hash ORDER BY seq DESC))[1] AS last_hash
FROM (
    SELECT {chain} AS chain, seq, row_hash, seq - row_number() OVER (PARTITION BY {chain} ORDER BY seq) AS island
    FROM {chunk}
) AS numbered
GROUP BY chain, island
ORDER BY numbered.chain, min(seq)
