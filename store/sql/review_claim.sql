-- Purpose: write down which decision is about to go on record, so that no other one does, and keep the item with
--          whoever holds its lease meanwhile.  The same decision again finds the time of the first.
-- $1 text: prediction; $2 uuid: lease token; $3 timestamptz: when; $4 text: decision; $5 text: material;
-- $6 text: reviewer; $7 text: review
-- Returns: the item, if that reviewer's lease holds it still, even if its time is over, and no other decision was
--          written down under it
UPDATE review_queue
SET leased_until = greatest(leased_until, now() + INTERVAL '60 seconds'), decided_at = coalesce(decided_at, $3),
    decision = $4, material = $5, reviewer = $6, review_id = $7
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased' AND leased_by = $6
    AND (decision IS NULL OR (decision = $4 AND material IS NOT DISTINCT FROM $5))
RETURNING *
