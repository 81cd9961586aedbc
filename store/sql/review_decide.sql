-- Purpose: note a decision whose event is on its way to the ledger.
-- $1 text: prediction; $2 uuid: lease token; $3 timestamptz: when; $4 text: decision; $5 text: material;
-- $6 text: reviewer; $7 text: review
-- Returns: prediction_id if that lease still held it
UPDATE review_queue
SET state = 'decided', decided_at = $3, decision = $4, material = $5, reviewer = $6, review_id = $7
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased'
RETURNING prediction_id
