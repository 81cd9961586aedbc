-- Purpose: batches in their order, some at a time
-- after bigint: those after that batch; most bigint: how many
-- Returns: batch, origin, first_leaf, leaves, root, heads_digest, sealed_at
SELECT batch, origin, first_leaf, leaves, root, heads_digest, sealed_at
FROM seal_batches
WHERE batch > %(after)s
ORDER BY batch
LIMIT %(most)s
