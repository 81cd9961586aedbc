-- Purpose: the deposit at a place
-- machine text, seq bigint
-- Returns: row_hash (hex), transaction_id, material ('' if none), mass_mg
SELECT encode(row_hash, 'hex'), transaction_id, coalesce(material, ''), mass_mg
FROM transactions
WHERE machine_id = %(machine)s AND seq = %(seq)s
LIMIT 1
