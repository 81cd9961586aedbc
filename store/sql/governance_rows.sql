-- Purpose: the rows of a model's chain that are not known yet, with the columns of the stream in their order,
--          as a binary COPY gives the bytes that were hashed.
-- $1 text: model; $2 bigint: the last row that is known
-- Returns: every column of governance
SELECT steps.event_time, steps.received_at, steps.model_id, steps.seq, steps.resource_digest, steps.action,
    steps.model_version, steps.actor, steps.model_digest, steps.attributes, steps.row_hash
FROM governance AS steps
WHERE steps.model_id = $1::text COLLATE "C" AND steps.seq > $2::bigint
ORDER BY steps.seq
