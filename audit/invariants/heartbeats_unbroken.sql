-- Silences of machines.
-- Reads: silences
-- Returns: the columns of every rule (rule.py); silent_us, begin_us, end_us
SELECT
    machine_id AS subject,
    NULL AS stream, NULL AS chain, NULL AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg,
    end_us - begin_us AS weight,
    end_us - begin_us AS silent_us, begin_us, end_us
FROM silences
