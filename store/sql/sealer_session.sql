-- Purpose: a session that seals: nothing that a role's or a database's defaults set may change what it sees
-- Returns: the settings, of those that this server knows
SELECT set_config(wanted.name, wanted.value, false)
FROM (VALUES
    ('search_path', 'public'),
    ('row_security', 'off'),
    ('client_encoding', 'UTF8'),
    ('TimeZone', 'UTC'),
    ('statement_timeout', '60s'),
    ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('lock_timeout', '10s'),
    ('jit', 'off'),
    ('max_parallel_workers_per_gather', '0'),
    ('synchronous_commit', 'on'),
    ('client_connection_check_interval', '2s')
) AS wanted (name, value)
JOIN pg_settings USING (name)
