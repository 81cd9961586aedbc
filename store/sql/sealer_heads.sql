-- Purpose: the heads of all chains as a batch's statement names them: each chain's last seal up to that batch
-- batch bigint
-- Returns: stream, chain, seq, row_hash, sites; in the order of stream and chain
SELECT h.stream, h.chain, s.last_seq AS seq, s.row_hash, s.sites
FROM chain_heads AS h
CROSS JOIN LATERAL (
    SELECT last_seq, row_hash, sites FROM seals
    WHERE seals.stream = h.stream AND seals.chain = h.chain AND seals.batch <= %(batch)s
    ORDER BY seals.batch DESC
    LIMIT 1
) AS s
ORDER BY h.stream, h.chain
