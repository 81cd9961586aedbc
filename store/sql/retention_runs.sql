-- Purpose: the runs of dropped rows of a stream's chains, in the order of the chains and seqs, between two chains.
-- stream, first, last text: both chains included; endless boolean: no last chain; most bigint: drops up to that number
-- Returns: drop_number, stream, chain (their bytes, UTF-8 or not), first_seq, last_seq, last_hash
SELECT drop_number, textsend(stream) AS stream, textsend(chain) AS chain, first_seq, last_seq, last_hash
FROM dropped_runs
WHERE dropped_runs.stream = %(stream)s AND dropped_runs.chain >= %(first)s
    AND (%(endless)s OR dropped_runs.chain <= %(last)s) AND drop_number <= %(most)s
ORDER BY dropped_runs.chain, first_seq
