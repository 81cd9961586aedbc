-- Purpose: note that the decision that was claimed is on its way to the ledger.
-- $1 text: prediction; $2 uuid: lease token
-- Returns: prediction_id if that lease still held it
UPDATE review_queue
SET state = 'decided'
WHERE prediction_id = $1 AND lease_token = $2 AND state = 'leased' AND decision IS NOT NULL
RETURNING prediction_id
