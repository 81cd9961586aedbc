-- Records of deposits whose transaction is on record already.
-- Reads: exceptions
-- Returns: the columns of every rule (rule.py); duplicate, conflict
SELECT
    transaction_id AS subject,
    'transactions' AS stream, machine_id AS chain, deposit_seq AS seq,
    declared AS material, mass_mg AS effect_mg, NULL AS counter_material, 0 AS counter_mg,
    mass_mg AS weight,
    CASE WHEN class = 'duplicate' THEN 1 ELSE 0 END AS duplicate,
    CASE WHEN class = 'conflict' THEN 1 ELSE 0 END AS conflict
FROM exceptions
WHERE class IN ('duplicate', 'conflict') AND deposit_seq IS NOT NULL
