-- Purpose: heads of streams that do not exist.
-- streams text[]: the streams that do
-- Returns: stream, chain, seq
SELECT stream, chain, seq FROM chain_heads WHERE stream <> ALL (%(streams)s) ORDER BY stream, chain
