-- Purpose: the seal that covers a leaf
-- leaf bigint
-- Returns: batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites; no row if it is no row's
SELECT batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites
FROM (SELECT * FROM seals WHERE first_leaf <= %(leaf)s ORDER BY first_leaf DESC LIMIT 1) AS nearest
WHERE first_leaf + last_seq - first_seq >= %(leaf)s
