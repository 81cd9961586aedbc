-- Transactions with more than one deposit on record.
-- Reads: deposits
-- Returns: transaction_id
SELECT transaction_id FROM deposits GROUP BY transaction_id HAVING count(*) > 1
