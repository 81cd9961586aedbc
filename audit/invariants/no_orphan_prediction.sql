-- Predictions without a deposit.  Their mass is not known.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py); predicted
SELECT
    coalesce(transaction_id, 'no transaction') AS subject,
    'predictions' AS stream, prediction_machine_id AS chain, prediction_seq AS seq,
    predicted AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, 0 AS weight,
    predicted
FROM exceptions
WHERE class = 'orphan_prediction'
