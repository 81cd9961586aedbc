-- Purpose: allocate the next tree.  A batch that another sealer allocated meanwhile, or that does not follow the
--          last one, is refused: by the primary key, or because nothing is inserted.
-- batch, first_leaf, leaves bigint; origin text; root, heads_digest bytea; sealed_at timestamptz
-- Returns: batch, if it was allocated
INSERT INTO seal_batches (batch, origin, first_leaf, leaves, size, root, heads_digest, sealed_at)
SELECT %(batch)s, %(origin)s, %(first_leaf)s, %(leaves)s, %(first_leaf)s::bigint + %(leaves)s::bigint, %(root)s,
    %(heads_digest)s, %(sealed_at)s
WHERE (%(batch)s, %(first_leaf)s) = (
    SELECT coalesce(max(batch), 0) + 1, coalesce(max(size), 0) FROM seal_batches
)
RETURNING batch
