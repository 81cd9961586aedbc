-- Purpose: a session that writes.  A server's or role's default must not turn "acknowledged" into "perhaps", and
--          locks must not outlive their holder: the server ends a session whose client leaves a transaction open in
--          silence, or no longer answers.
-- $1 text: the silence allowed in a transaction, with its unit
-- Returns: pid and backend_start, which together name this session
SELECT pid, backend_start,
    set_config('synchronous_commit', 'on', false),
    set_config('idle_in_transaction_session_timeout', $1, false),
    set_config('client_connection_check_interval', '2s', false),
    set_config('tcp_keepalives_idle', '10', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', '30s', false)
FROM pg_stat_activity
WHERE pid = pg_backend_pid()
