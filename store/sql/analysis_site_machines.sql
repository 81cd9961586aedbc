-- Purpose: the machines of which a stream has a record at one of these sites.  It goes from machine to machine by the
--          index of site and machine, and asks of each pair only whether there is such a record in the time.
-- sites text[]; since, until timestamptz: event time; the stream: transactions, predictions or events
-- Returns: site_id, machine_id
WITH RECURSIVE pairs (site_id, machine_id) AS (
    SELECT asked.site_id, (SELECT min(r.machine_id) FROM {stream} AS r WHERE r.site_id = asked.site_id)
    FROM unnest(%(sites)s::text[]) AS asked (site_id)
    UNION ALL
    SELECT p.site_id,
        (SELECT min(r.machine_id) FROM {stream} AS r WHERE r.site_id = p.site_id AND r.machine_id > p.machine_id)
    FROM pairs AS p
    WHERE p.machine_id IS NOT NULL
)
SELECT p.site_id, p.machine_id
FROM pairs AS p
WHERE EXISTS (
    SELECT 1 FROM {stream} AS r
    WHERE r.site_id = p.site_id AND r.machine_id = p.machine_id
        AND r.event_time >= %(since)s AND r.event_time < %(until)s
)
