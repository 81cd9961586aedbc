-- Purpose: end a session of ours that was given up, if the server still has it, and wait for its end.
-- $1 integer: its pid; $2 timestamptz: its backend_start
-- Returns: whether it ended in time, if it was there
SELECT pg_terminate_backend(pid, 5000) AS ended
FROM pg_stat_activity
WHERE pid = $1 AND backend_start = $2
