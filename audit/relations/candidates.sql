-- Transactions that are looked at closely: those that may be an exception, and those that need attention.
-- Reads: suspects, attention
-- Returns: transaction_id
SELECT transaction_id FROM suspects WHERE transaction_id IS NOT NULL
UNION
SELECT transaction_id FROM attention
