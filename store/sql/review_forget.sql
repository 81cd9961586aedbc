-- Purpose: forget what was decided long ago; it stays in the ledger.
-- $1 interval: how long ago
-- Returns: nothing
DELETE FROM review_queue
WHERE state = 'decided' AND decided_at < now() - $1::interval AND predicted_at < now() - $1::interval
