-- Purpose: what is to be decided, the oldest first, and what was set aside.
-- $1 integer: items at most
-- Returns: the items
SELECT * FROM review_queue
WHERE state IN ('waiting', 'leased', 'expired')
ORDER BY state = 'expired', predicted_at, prediction_id
LIMIT $1
