-- How much of the period each machine was heard.
-- Reads: heartbeat_blocks, claims, silences, parameters
-- Returns: machine_id, site_id, heartbeats (how many), silent_us (what its silences take beyond one interval)
SELECT m.machine_id, coalesce(max(m.site_id), '') AS site_id,
    CAST(sum(m.heartbeats) AS bigint) AS heartbeats,
    CAST(coalesce(max(s.silent_us), 0) AS bigint) AS silent_us
FROM (
    SELECT machine_id, site_id, heartbeats FROM heartbeat_blocks WHERE stretch_us IS NOT NULL
    UNION ALL
    SELECT machine_id, max(site_id), 0 FROM claims GROUP BY machine_id
) AS m
LEFT JOIN (
    SELECT machine_id, sum(end_us - begin_us - q.heartbeat_us) AS silent_us
    FROM silences
    CROSS JOIN parameters AS q
    GROUP BY machine_id
) AS s ON s.machine_id = m.machine_id
GROUP BY m.machine_id
