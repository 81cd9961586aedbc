-- Purpose: make sure that an item stays with whoever holds its lease while the decision is written.
-- $1 text: prediction; $2 uuid: lease token
-- Returns: the item, if that lease holds it still, even if its time is over
UPDATE review_queue
SET leased_until = greatest(leased_until, now() + INTERVAL '60 seconds')
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased'
RETURNING *
