-- Keys of transactions that are on record more than once among the deposits.  A key is an integer that each engine
-- makes of the transaction's id, for speed alone: two transactions may share one, so the id itself decides later.
-- Reads: deposits
-- Returns: transaction_key
SELECT transaction_key FROM deposits GROUP BY transaction_key HAVING count(*) > 1
