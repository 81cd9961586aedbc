-- Purpose: every site that some rows of a chain name
-- chain text; first, last bigint: seqs, both included; the stream and its chain's column: identifiers
-- Returns: site_id
SELECT DISTINCT site_id FROM {stream}
WHERE {chain} = %(chain)s AND seq BETWEEN %(first)s AND %(last)s AND site_id IS NOT NULL
