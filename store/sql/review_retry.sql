-- Purpose: offer again what was set aside.
-- $1 text: prediction
-- Returns: prediction_id if it was set aside
UPDATE review_queue
SET state = 'waiting', attempts = 0, trouble = NULL
WHERE prediction_id = $1 AND state = 'expired'
RETURNING prediction_id
