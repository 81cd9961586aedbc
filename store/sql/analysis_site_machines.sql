-- Purpose: the machines that recorded a deposit at one of these sites
-- sites text[]; since, until timestamptz: event time
-- Returns: site_id, machine_id
SELECT DISTINCT site_id, machine_id
FROM transactions
WHERE event_time >= %(since)s AND event_time < %(until)s AND site_id = ANY(%(sites)s::text[])
ORDER BY machine_id, site_id
