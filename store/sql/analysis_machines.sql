-- Purpose: which of these machines have a chain
-- names text[]
-- Returns: chain
SELECT DISTINCT chain FROM chain_heads WHERE chain = ANY(%(names)s::text[])
