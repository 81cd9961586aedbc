-- Deposits without a prediction, and predictions beyond the first.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py); missing, extra
SELECT
    transaction_id AS subject,
    CASE WHEN deposit_seq IS NULL THEN 'predictions' ELSE 'transactions' END AS stream,
    machine_id AS chain, coalesce(deposit_seq, prediction_seq) AS seq,
    declared AS material, CASE WHEN deposit_seq IS NULL THEN 0 ELSE mass_mg END AS effect_mg,
    NULL AS counter_material, 0 AS counter_mg, mass_mg AS weight,
    CASE WHEN deposit_seq IS NULL THEN 0 ELSE 1 END AS missing,
    CASE WHEN deposit_seq IS NULL THEN 1 ELSE 0 END AS extra
FROM exceptions
WHERE class = 'missing_prediction' OR (class IN ('duplicate', 'conflict') AND deposit_seq IS NULL)
