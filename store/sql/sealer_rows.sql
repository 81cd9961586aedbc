-- Purpose: how many rows all chains have, by their heads
-- Returns: rows bigint
SELECT coalesce(sum(seq), 0)::bigint AS rows FROM chain_heads
