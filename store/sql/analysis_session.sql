-- Purpose: a session that computes over the whole ledger: nothing that a role's or a database's defaults set may
--          change what it sees (as in reader_session), and its plans use every processor.  Merge joins would sort
--          what a hash join only reads; a memoized index scan is taken where the planner expects the same rows to be
--          asked for again and again, which no query here does.
-- Returns: the settings, of those that this server knows
SELECT set_config(wanted.name, wanted.value, false)
FROM (VALUES
    ('search_path', 'public'),
    ('row_security', 'off'),
    ('client_encoding', 'UTF8'),
    ('TimeZone', 'UTC'),
    ('extra_float_digits', '1'),
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('lock_timeout', '30s'),
    ('client_connection_check_interval', '2s'),
    ('jit', 'off'),
    ('max_parallel_workers_per_gather', '2'),
    ('parallel_leader_participation', 'on'),
    ('parallel_tuple_cost', '0.001'),
    ('parallel_setup_cost', '100'),
    ('hash_mem_multiplier', '2'),
    ('enable_mergejoin', 'off'),
    ('enable_memoize', 'off')
) AS wanted (name, value)
JOIN pg_settings USING (name)
