-- Model versions with answers that no single approval covers all of; their answers are looked at one by one.
-- Reads: answered, approvals
-- Returns: model_id, model_version, model_digest
SELECT v.model_id, v.model_version, v.model_digest
FROM answered AS v
WHERE NOT EXISTS (
    SELECT 1 FROM approvals AS a
    WHERE a.model_id = v.model_id AND a.model_version = v.model_version
        AND a.model_digest IS NOT DISTINCT FROM v.model_digest
        AND ((v.first_event >= a.from_time AND (a.until_time IS NULL OR v.last_event < a.until_time))
            OR (v.first_received >= a.recorded_from
                AND (a.recorded_until IS NULL OR v.last_received < a.recorded_until)))
)
