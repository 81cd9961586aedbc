-- Temperature sensors that read what no machine has.
-- Reads: temperature_faults
-- Returns: the columns of every rule (rule.py); spikes, drifts, kind, leap_mc, event_us
SELECT
    machine_id AS subject,
    'telemetry' AS stream, machine_id AS chain, seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, abs(leap_mc) AS weight,
    CASE WHEN kind = 'spike' THEN 1 ELSE 0 END AS spikes,
    CASE WHEN kind = 'drift' THEN 1 ELSE 0 END AS drifts,
    kind, leap_mc, event_us
FROM temperature_faults
