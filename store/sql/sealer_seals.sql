-- Purpose: what was sealed, in the order of the leaves
-- first_leaf, end_leaf bigint: the seals that begin at first_leaf or later, and before end_leaf
-- Returns: batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites
SELECT batch, stream, chain, first_seq, last_seq, first_leaf, row_hash, sites
FROM seals
WHERE first_leaf >= %(first_leaf)s AND first_leaf < %(end_leaf)s
ORDER BY first_leaf
