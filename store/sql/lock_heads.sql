-- Purpose: lock chain heads until the transaction ends, always in the same order, so that no two writers
--          wait for each other.
-- $1 text[]: streams; $2 text[]: chains
-- Returns: stream, chain, seq, row_hash of each head that exists
SELECT heads.stream, heads.chain, heads.seq, heads.row_hash
FROM chain_heads AS heads
WHERE (heads.stream, heads.chain) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY heads.stream, heads.chain
FOR UPDATE
