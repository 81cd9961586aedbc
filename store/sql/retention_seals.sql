-- Purpose: how far a run of rows is sealed without a gap, and in which leaves
-- stream, chain text; first, last bigint: seqs, both included
-- Returns: rows bigint: how many of them are sealed; end_leaf bigint: the leaf after the last of them, or NULL
SELECT coalesce(sum(least(last_seq, %(last)s) - greatest(first_seq, %(first)s) + 1), 0)::bigint AS rows,
    max(first_leaf + least(last_seq, %(last)s) - first_seq + 1) AS end_leaf
FROM seals
WHERE stream = %(stream)s AND chain = %(chain)s AND first_seq <= %(last)s AND last_seq >= %(first)s
