-- Purpose: the chains with rows that are not sealed yet.
-- Returns: stream, chain; seq bigint: the last row's, committed; sealed_seq bigint: the last sealed row's, 0 for none;
--          sites text[]: what the chain has named up to there
SELECT h.stream, h.chain, h.seq, coalesce(s.last_seq, 0) AS sealed_seq, coalesce(s.sites, '{}'::text[]) AS sites
FROM chain_heads AS h
LEFT JOIN LATERAL (
    SELECT last_seq, sites FROM seals
    WHERE seals.stream = h.stream AND seals.chain = h.chain
    ORDER BY first_seq DESC
    LIMIT 1
) AS s ON true
WHERE h.seq > coalesce(s.last_seq, 0)
ORDER BY h.stream, h.chain
