-- Purpose: a batch, by its number, by the size of its tree, or the last one
-- batch, size bigint: NULL where it is not asked for by that
-- Returns: batch, origin, first_leaf, leaves, root, heads_digest, sealed_at
SELECT batch, origin, first_leaf, leaves, root, heads_digest, sealed_at
FROM seal_batches
WHERE (%(batch)s::bigint IS NULL OR batch = %(batch)s) AND (%(size)s::bigint IS NULL OR size = %(size)s)
ORDER BY batch DESC
LIMIT 1
