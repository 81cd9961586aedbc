-- Purpose: take back a claim whose decision could not be kept; its reviewer may decide again, or otherwise.
-- $1 text: prediction; $2 uuid: lease token
-- Returns: nothing
UPDATE review_queue
SET decided_at = NULL, decision = NULL, material = NULL, reviewer = NULL, review_id = NULL
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased'
