-- Purpose: read chain heads without locking them.
-- $1 text[]: streams; $2 text[]: chains
-- Returns: stream, chain, seq, row_hash of each head that exists
SELECT heads.stream, heads.chain, heads.seq, heads.row_hash
FROM chain_heads AS heads
WHERE (heads.stream, heads.chain) IN (SELECT * FROM unnest($1::text[], $2::text[]))
