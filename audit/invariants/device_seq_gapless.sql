-- Gaps in the machines' own count of deposits.  What they weigh is estimated elsewhere.
-- Reads: gaps
-- Returns: the columns of every rule (rule.py); lost, previous_seq, next_seq
SELECT
    machine_id AS subject,
    'transactions' AS stream, machine_id AS chain, chain_seq AS seq,
    NULL AS material, 0 AS effect_mg, NULL AS counter_material, 0 AS counter_mg, lost AS weight,
    lost, previous_seq, next_seq
FROM gaps
