-- Purpose: an item by its prediction.
-- $1 text: prediction
-- Returns: the item, if it is in the queue
SELECT * FROM review_queue WHERE prediction_id = $1
