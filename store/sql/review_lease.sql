-- Purpose: lend the oldest items that nobody has to a reviewer; two who ask at once get different ones.  What was
--          claimed under a lease that ran out, and came to nothing, is forgotten.
-- $1 text: reviewer; $2 integer: items at most; $3 interval: for how long
-- Returns: the items, in any order
WITH picked AS MATERIALIZED (
    SELECT prediction_id FROM review_queue
    WHERE state = 'waiting' OR (state = 'leased' AND leased_until < now())
    ORDER BY predicted_at, prediction_id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE review_queue AS items
SET state = 'leased', attempts = items.attempts + 1, leased_by = $1, lease_token = gen_random_uuid(),
    leased_until = now() + $3,
    decided_at = NULL, decision = NULL, material = NULL, reviewer = NULL, review_id = NULL
FROM picked
WHERE items.prediction_id = picked.prediction_id
RETURNING items.*
