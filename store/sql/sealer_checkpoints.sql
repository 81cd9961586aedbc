-- Purpose: published checkpoints, the largest first
-- least_size bigint: not the smaller ones; witnessed boolean: NULL for all; most bigint: how many
-- Returns: size, witnessed, published_at, note, timestamp_token
SELECT size, witnessed, published_at, note, timestamp_token
FROM checkpoints
WHERE size >= %(least_size)s AND (%(witnessed)s::boolean IS NULL OR witnessed = %(witnessed)s)
ORDER BY size DESC, witnessed DESC
LIMIT %(most)s
