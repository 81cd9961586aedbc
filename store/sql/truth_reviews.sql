-- Purpose: the latest review of each prediction that came to the queue, beside the prediction; the queue says
--          where in the ledger the prediction stands, which has no index of predictions' ids.  A review
--          stands in the chain of the machine whose prediction it is about.
-- $1 text: model; $2 text: version; $3, $4 timestamptz: predicted from, until
-- Returns: predicted, confidence, covers, decision, seen, reason, sample_rate
SELECT DISTINCT ON (r.prediction_id) p.material AS predicted, p.confidence,
    (p.attributes -> 'prediction.covers')::text AS covers, r.decision, r.material AS seen, items.reason,
    items.sample_rate
FROM reviews AS r
JOIN review_queue AS items ON items.prediction_id = r.prediction_id AND items.machine_id = r.machine_id
JOIN predictions AS p ON p.machine_id = items.machine_id AND p.seq = items.seq
    AND p.prediction_id = items.prediction_id
WHERE r.event_time >= $3 AND p.event_time >= $3 AND p.event_time < $4
    AND items.model_id = $1::text COLLATE "C" AND items.model_version = $2::text COLLATE "C"
    AND p.model_id = items.model_id AND p.model_version = items.model_version
ORDER BY r.prediction_id, r.received_at DESC, r.seq DESC
