-- Purpose: all runs of dropped rows, in the order in which their digest is made.
-- Returns: drop_number, stream, chain (their bytes, UTF-8 or not), first_seq, last_seq, last_hash
SELECT drop_number, textsend(stream) AS stream, textsend(chain) AS chain, first_seq, last_seq, last_hash
FROM dropped_runs
ORDER BY drop_number, dropped_runs.stream, dropped_runs.chain, first_seq
