-- Purpose: the seal that covers a row
-- stream, chain text; seq bigint
-- Returns: batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites; no row if it is not sealed
SELECT batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites
FROM (
    SELECT * FROM seals
    WHERE stream = %(stream)s AND chain = %(chain)s AND first_seq <= %(seq)s
    ORDER BY first_seq DESC
    LIMIT 1
) AS nearest
WHERE last_seq >= %(seq)s
