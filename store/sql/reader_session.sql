-- Purpose: a session that reads for verification: nothing that a role's or a database's defaults set may change
--          what it sees (a search path to a forged copy, a policy that hides rows), and a query whose reader has
--          died ends.  The plans are those of one process among several: no parallel workers, no JIT.
-- Returns: the settings, of those that this server knows
SELECT set_config(wanted.name, wanted.value, false)
FROM (VALUES
    ('search_path', 'public'),
    ('row_security', 'off'),
    ('client_encoding', 'UTF8'),
    ('TimeZone', 'UTC'),
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('lock_timeout', '30s'),
    ('client_connection_check_interval', '2s'),
    ('jit', 'off'),
    ('max_parallel_workers_per_gather', '0'),
    ('random_page_cost', '1.1'),
    ('work_mem', '64MB'),
    ('enable_indexscan', 'on'),
    ('enable_indexonlyscan', 'on'),
    ('enable_bitmapscan', 'on'),
    ('enable_seqscan', 'on'),
    ('enable_sort', 'on')
) AS wanted (name, value)
JOIN pg_settings USING (name)
