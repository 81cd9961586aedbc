-- Purpose: the heads of a stream's chains, in the order of the chains, between two chains.
-- stream, first, last text: both chains included; endless boolean: no last chain
-- Returns: chain, seq, row_hash
SELECT chain, seq, row_hash FROM chain_heads
WHERE stream = %(stream)s AND chain >= %(first)s AND (%(endless)s OR chain <= %(last)s)
ORDER BY chain
