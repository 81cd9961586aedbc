-- Deposits within a silence of their machine.
-- Reads: deposits, silences, parameters
-- Returns: the columns of every rule (rule.py); begin_us, end_us, unwitnessed_mg
SELECT
    d.transaction_id AS subject,
    'transactions' AS stream, d.machine_id AS chain, d.seq AS seq,
    d.material AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, d.mass_mg AS weight,
    s.begin_us, s.end_us, d.mass_mg AS unwitnessed_mg
FROM deposits AS d
CROSS JOIN parameters AS q
JOIN silences AS s ON s.machine_id = d.machine_id
WHERE d.event_time >= q.from_time AND d.event_time < q.to_time
    AND CASE WHEN d.delay_us > q.late_us THEN d.event_us ELSE d.event_us + d.delay_us END
        > s.begin_us + q.heartbeat_us
    AND CASE WHEN d.delay_us > q.late_us THEN d.event_us ELSE d.event_us + d.delay_us END
        < s.end_us - q.heartbeat_us
