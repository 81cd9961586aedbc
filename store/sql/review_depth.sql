-- Purpose: how many items are in which state, a lease whose time is over counting as waiting.
-- Returns: state, reason, items, oldest (when the oldest was predicted)
SELECT CASE WHEN state = 'leased' AND leased_until < now() THEN 'waiting' ELSE state END AS state, reason,
    count(*) AS items, min(predicted_at) AS oldest
FROM review_queue
GROUP BY 1, 2
ORDER BY 1, 2
