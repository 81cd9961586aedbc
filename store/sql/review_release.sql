-- Purpose: give an item back before its time; the attempt does not count.  Not while a decision is being kept.
-- $1 text: prediction; $2 uuid: lease token
-- Returns: prediction_id if that lease held it
UPDATE review_queue
SET state = 'waiting', attempts = attempts - 1, leased_by = NULL, lease_token = NULL, leased_until = NULL
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased' AND decision IS NULL
RETURNING prediction_id
