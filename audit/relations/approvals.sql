-- When each version of each model was approved: from an approval by somebody other than its trainer until it was
-- refused or retired, by the clock of the steps themselves and by the collector's.
-- Reads: governance
-- Returns: model_id, model_version, model_digest (as it was trained); from_time, until_time; recorded_from,
--          recorded_until (the ends are NULL: to this day)
SELECT t.model_id, t.model_version, t.model_digest, a.event_time AS from_time, min(e.event_time) AS until_time,
    a.received_at AS recorded_from, min(e.received_at) AS recorded_until
FROM (
    SELECT model_id, model_version, model_digest, actor,
        row_number() OVER (PARTITION BY model_id, model_version ORDER BY seq) AS place
    FROM governance WHERE action = 'trained'
) AS t
JOIN governance AS a ON a.model_id = t.model_id AND a.model_version = t.model_version
    AND a.action = 'approved' AND a.actor <> t.actor
LEFT JOIN governance AS e ON e.model_id = a.model_id AND e.model_version = a.model_version
    AND e.action IN ('refused', 'retired') AND e.seq > a.seq
WHERE t.place = 1
GROUP BY t.model_id, t.model_version, t.model_digest, a.seq, a.event_time, a.received_at
