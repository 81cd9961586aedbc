-- Keys of transactions that are on record more than once among the predictions; see repeated_deposits.
-- Reads: predictions
-- Returns: transaction_key
SELECT transaction_key FROM predictions
WHERE transaction_id IS NOT NULL
GROUP BY transaction_key HAVING count(*) > 1
