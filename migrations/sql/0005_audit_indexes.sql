-- What an audit looks up otherwise than by machine and place in the chain: the machines that recorded something at a
-- site, and the few events, among many heartbeats, that are evidence by themselves.

CREATE INDEX transactions_site ON transactions (site_id, machine_id);
CREATE INDEX predictions_site ON predictions (site_id, machine_id) WHERE site_id IS NOT NULL;
CREATE INDEX events_site ON events (site_id, machine_id) WHERE site_id IS NOT NULL;
CREATE INDEX events_evidence ON events (event_name, event_time)
    WHERE event_name IN ('machine.calibrated', 'audit.correction', 'audit.report');
