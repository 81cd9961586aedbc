-- Purpose: the highest seq of a chain's rows, whatever its head says.
-- stream, chain: identifiers; of text: the chain
-- Returns: seq, or no row
SELECT seq FROM {stream} WHERE {chain} = %(of)s AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1
