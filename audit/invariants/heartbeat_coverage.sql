-- Machines that were silent for a larger part of the period than allowed.
-- Reads: presence, parameters
-- Returns: the columns of every rule (rule.py); silent_us, heartbeats
SELECT
    machine_id AS subject,
    NULL AS stream, NULL AS chain, NULL AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, silent_us AS weight,
    silent_us, heartbeats
FROM presence
CROSS JOIN parameters AS q
WHERE silent_us > q.silent_limit_us
