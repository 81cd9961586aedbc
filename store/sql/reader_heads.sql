-- Purpose: the heads of a stream's chains, in the order of the chains, between two chains.
-- stream, first, last text: both chains included; endless boolean: no last chain
-- Returns: chain (its bytes, UTF-8 or not), seq (-1 for NULL), row_hash (empty for NULL)
SELECT textsend(chain) AS chain, coalesce(seq, -1) AS seq, coalesce(row_hash, ''::bytea) AS row_hash
FROM chain_heads
WHERE stream = %(stream)s AND chain_heads.chain >= %(first)s
    AND (%(endless)s OR chain_heads.chain <= %(last)s)
ORDER BY chain_heads.chain
