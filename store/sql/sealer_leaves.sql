-- Purpose: the hashes of some chains' rows, in the order of their seqs, a value for each chain.
-- chains text[], firsts bigint[], lasts bigint[]: which rows, both included; the stream, its chain's column, and the
-- site's (NULL where it has none): identifiers
-- Returns: place bigint: which of the chains asked for, 1 and up; first_seq, last_seq, rows bigint: what was found;
--          hashes bytea: all of them, one after the other; least_site, greatest_site text
SELECT asked.place, found.first_seq, found.last_seq, found.rows, found.hashes, found.least_site, found.greatest_site
FROM unnest(%(chains)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[])
    WITH ORDINALITY AS asked (chain, first_seq, last_seq, place)
CROSS JOIN LATERAL (
    SELECT min(r.seq) AS first_seq, max(r.seq) AS last_seq, count(*) AS rows,
        string_agg(r.row_hash, ''::bytea ORDER BY r.seq) AS hashes,
        min(r.site_id) AS least_site, max(r.site_id) AS greatest_site
    FROM (
        SELECT seq, row_hash, {site} AS site_id FROM {stream}
        WHERE {chain} = asked.chain AND seq BETWEEN asked.first_seq AND asked.last_seq
        ORDER BY seq
    ) AS r
) AS found
ORDER BY asked.place
