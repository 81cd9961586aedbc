-- Times without a sign of life, by the clock of arrival (observed), of every machine that sent any or that
-- recorded deposits.  The period's ends count as signs of life.
-- Reads: heartbeats, claims, parameters
-- Returns: machine_id, begin_us, end_us
SELECT machine_id, begin_us, end_us
FROM (
    SELECT machine_id, observed_us AS begin_us,
        lead(observed_us) OVER (PARTITION BY machine_id ORDER BY observed_us) AS end_us
    FROM (
        SELECT h.machine_id, h.event_us + h.delay_us AS observed_us
        FROM heartbeats AS h
        CROSS JOIN parameters AS q
        WHERE h.event_us + h.delay_us >= q.from_us AND h.event_us + h.delay_us < q.to_us
        UNION ALL
        SELECT m.machine_id, q.from_us
        FROM (SELECT machine_id FROM heartbeats UNION SELECT machine_id FROM claims) AS m
        CROSS JOIN parameters AS q
        UNION ALL
        SELECT m.machine_id, q.to_us
        FROM (SELECT machine_id FROM heartbeats UNION SELECT machine_id FROM claims) AS m
        CROSS JOIN parameters AS q
    ) AS signs
) AS pairs
CROSS JOIN parameters AS q
WHERE end_us - begin_us > q.silence_us
