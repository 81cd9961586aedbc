-- Purpose: set aside what was leased so often without a decision that something must be wrong with it.
-- $1 integer: leases at most
-- Returns: prediction_id of each item that was set aside
UPDATE review_queue
SET state = 'expired', decided_at = NULL, decision = NULL, material = NULL, reviewer = NULL, review_id = NULL,
    leased_by = NULL, lease_token = NULL, leased_until = NULL,
    trouble = format('leased %s times without a decision, last by %s', attempts, leased_by)
WHERE prediction_id IN (
    SELECT prediction_id FROM review_queue
    WHERE state = 'leased' AND leased_until < now() AND attempts >= $1
    FOR UPDATE SKIP LOCKED
)
RETURNING prediction_id
