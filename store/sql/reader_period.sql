-- Purpose: where a period of event time lies in each chain of a stream.  A clock that jumps can spread it
--          over a longer part of the chain; that part is what is returned.
-- stream, chain: identifiers; since, until timestamptz as text: the period, until excluded, may be infinite;
-- of text: one chain, or null for all
-- Returns: chain (its bytes, UTF-8 or not), first_seq, last_seq of each chain that has a row in the period
SELECT textsend({chain}) AS name, min(seq) AS first_seq, max(seq) AS last_seq FROM {stream}
WHERE event_time >= %(since)s::timestamptz AND event_time < %(until)s::timestamptz
    AND {chain} IS NOT NULL AND seq IS NOT NULL
    AND (%(of)s::text IS NULL OR {chain} = %(of)s::text COLLATE "C")
GROUP BY {chain}
ORDER BY {chain}
