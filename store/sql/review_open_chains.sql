-- Purpose: take notice of chains that are new since the last time.
-- Returns: nothing
INSERT INTO review_progress (stream, chain, seq)
SELECT heads.stream, heads.chain, 0
FROM chain_heads AS heads
WHERE heads.stream IN ('predictions', 'reviews') AND heads.seq > 0
    AND NOT EXISTS (
        SELECT FROM review_progress AS done WHERE done.stream = heads.stream AND done.chain = heads.chain
    )
ON CONFLICT DO NOTHING
