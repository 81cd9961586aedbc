-- Purpose: the events that declare drops, in the order of the chain that an audit's own events have.
-- chain, event_name text
-- Returns: seq, event_time, attributes (its text)
SELECT seq, event_time, attributes::text AS attributes FROM events
WHERE machine_id = %(chain)s AND event_name = %(event_name)s
ORDER BY seq
