-- Which model versions answered in the period, and how many of their answers no approval of that very version
-- covers: neither at the time that the answer claims, nor when it was recorded.
-- Reads: answered, doubtful_versions, predictions, approvals, parameters
-- Returns: model_id, model_version, model_digest, predictions, unapproved
SELECT v.model_id, v.model_version, v.model_digest, v.predictions, coalesce(u.unapproved, 0) AS unapproved
FROM answered AS v
LEFT JOIN (
    SELECT p.model_id, p.model_version, p.model_digest, count(*) AS unapproved
    FROM predictions AS p
    CROSS JOIN parameters AS q
    JOIN doubtful_versions AS doubtful ON doubtful.model_id = p.model_id AND doubtful.model_version = p.model_version
        AND doubtful.model_digest IS NOT DISTINCT FROM p.model_digest
    WHERE EXISTS (SELECT 1 FROM doubtful_versions)
        AND p.event_time >= q.from_time AND p.event_time < q.to_time
        AND NOT EXISTS (
            SELECT 1 FROM approvals AS a
            WHERE a.model_id = p.model_id AND a.model_version = p.model_version
                AND a.model_digest IS NOT DISTINCT FROM p.model_digest
                AND ((p.event_time >= a.from_time AND (a.until_time IS NULL OR p.event_time < a.until_time))
                    OR (p.received_at >= a.recorded_from
                        AND (a.recorded_until IS NULL OR p.received_at < a.recorded_until)))
        )
    GROUP BY p.model_id, p.model_version, p.model_digest
) AS u ON u.model_id = v.model_id AND u.model_version = v.model_version
    AND u.model_digest IS NOT DISTINCT FROM v.model_digest
