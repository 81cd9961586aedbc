-- Purpose: a stream's rows in the order of its chains, each as its binary COPY tuple, between two places.
-- stream, columns, chain: identifiers; from_chain, from_seq: first place; to_chain, to_seq: the place
-- after the last; endless: true to read to the end of the stream
-- Returns: a binary COPY file
COPY (
    SELECT {columns} FROM {stream}
    WHERE ({chain}, seq) >= ({from_chain}, {from_seq}::bigint)
        AND ({endless} OR ({chain}, seq) < ({to_chain}, {to_seq}::bigint))
    ORDER BY {chain}, seq
) TO STDOUT (FORMAT binary)
