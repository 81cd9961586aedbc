-- Transactions with more than one prediction on record.
-- Reads: predictions
-- Returns: transaction_id
SELECT transaction_id FROM predictions
WHERE transaction_id IS NOT NULL
GROUP BY transaction_id HAVING count(*) > 1
