-- Which model versions answered in the period, and how many of their answers were recorded while no approval of
-- that very version was in force.
-- Reads: predictions, approvals, parameters
-- Returns: model_id, model_version, model_digest, predictions, unapproved
SELECT p.model_id, p.model_version, p.model_digest, count(*) AS predictions,
    CAST(sum(CASE WHEN a.model_id IS NULL THEN 1 ELSE 0 END) AS bigint) AS unapproved
FROM predictions AS p
CROSS JOIN parameters AS q
LEFT JOIN approvals AS a ON a.model_id = p.model_id AND a.model_version = p.model_version
    AND a.model_digest IS NOT DISTINCT FROM p.model_digest
    AND p.received_at >= a.from_time AND (a.until_time IS NULL OR p.received_at < a.until_time)
WHERE p.event_time >= q.from_time AND p.event_time < q.to_time
GROUP BY p.model_id, p.model_version, p.model_digest
