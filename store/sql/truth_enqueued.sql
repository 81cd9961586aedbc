-- Purpose: how many of a version's predictions came to the queue, by reason.
-- $1 text: model; $2 text: version; $3, $4 timestamptz: predicted from, until
-- Returns: reason, items
SELECT items.reason, count(*) AS items
FROM review_queue AS items
WHERE items.model_id = $1::text COLLATE "C" AND items.model_version = $2::text COLLATE "C"
    AND items.predicted_at >= $3 AND items.predicted_at < $4
GROUP BY 1
