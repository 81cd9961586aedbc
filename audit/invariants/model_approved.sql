-- Model versions that answered without an approval.
-- Reads: answering
-- Returns: the columns of every rule (rule.py); unapproved, predictions
SELECT
    model_id || ' ' || model_version AS subject,
    'governance' AS stream, model_id AS chain, NULL AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, unapproved AS weight,
    unapproved, predictions
FROM answering
WHERE unapproved > 0
