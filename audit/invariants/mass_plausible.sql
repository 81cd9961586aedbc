-- Deposits whose mass is impossible.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py); implausible, unbalanced, mass_mg, item_count
SELECT
    transaction_id AS subject,
    'transactions' AS stream, machine_id AS chain, deposit_seq AS seq,
    declared AS material, CASE WHEN claimed = 1 THEN mass_mg ELSE 0 END AS effect_mg,
    NULL AS counter_material, 0 AS counter_mg, mass_mg AS weight,
    CASE WHEN mass_problem = 'implausible' THEN 1 ELSE 0 END AS implausible,
    CASE WHEN mass_problem = 'net' THEN 1 ELSE 0 END AS unbalanced,
    mass_mg, item_count
FROM exceptions
WHERE mass_problem <> ''
