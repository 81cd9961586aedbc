-- Stretches of a clock that was off, and late deposits.
-- Reads: clock_faults, exceptions
-- Returns: the columns of every rule (rule.py); skewed, late, least_us, most_us, lasted_us, begin_us, end_us
SELECT
    machine_id AS subject,
    CASE WHEN heartbeat_seq IS NULL THEN 'transactions' ELSE 'events' END AS stream,
    machine_id AS chain, coalesce(heartbeat_seq, deposit_seq) AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg,
    CASE WHEN abs(least_us) > abs(most_us) THEN abs(least_us) ELSE abs(most_us) END AS weight,
    1 AS skewed, 0 AS late, least_us, most_us, end_us - begin_us AS lasted_us, begin_us, end_us
FROM clock_faults
UNION ALL
SELECT transaction_id, 'transactions', machine_id, deposit_seq, NULL, 0, NULL, 0,
    observed_us - event_us, 0, 1, 0, observed_us - event_us, 0, event_us, observed_us
FROM exceptions
WHERE class = 'late'
