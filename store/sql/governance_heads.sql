-- Purpose: where the chains of the governance stream end.
-- Returns: chain, seq, row_hash of each head that has a row
SELECT heads.chain, heads.seq, heads.row_hash
FROM chain_heads AS heads
WHERE heads.stream = 'governance' AND heads.seq > 0
ORDER BY heads.chain
