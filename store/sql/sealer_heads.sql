-- Purpose: the heads of all chains as a batch's statement names them: each chain's last seal up to that batch.
--          The chains are those of seals, found one after the other in its index: chain_heads may have lost one
-- batch bigint
-- Returns: stream, chain, seq, row_hash, sites; in the order of stream and chain
WITH RECURSIVE chains AS (
    (SELECT stream, chain FROM seals ORDER BY stream, chain LIMIT 1)
    UNION ALL
    SELECT following.stream, following.chain
    FROM chains
    CROSS JOIN LATERAL (
        SELECT stream, chain FROM seals
        WHERE (seals.stream, seals.chain) > (chains.stream, chains.chain)
        ORDER BY seals.stream, seals.chain
        LIMIT 1
    ) AS following
)
SELECT chains.stream, chains.chain, s.last_seq AS seq, s.row_hash, s.sites
FROM chains
CROSS JOIN LATERAL (
    SELECT last_seq, row_hash, sites FROM seals
    WHERE seals.stream = chains.stream AND seals.chain = chains.chain AND seals.batch <= %(batch)s
    ORDER BY seals.batch DESC
    LIMIT 1
) AS s
ORDER BY chains.stream, chains.chain
