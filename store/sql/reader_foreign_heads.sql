-- Purpose: heads of streams that do not exist, and heads without a chain.
-- streams text[]: the streams that do exist
-- Returns: stream, chain (their bytes, UTF-8 or not, or NULL), seq (-1 for NULL)
SELECT textsend(stream) AS stream, textsend(chain) AS chain, coalesce(seq, -1) AS seq FROM chain_heads
WHERE chain_heads.stream <> ALL (%(streams)s) OR chain_heads.stream IS NULL OR chain_heads.chain IS NULL
ORDER BY chain_heads.stream, chain_heads.chain
