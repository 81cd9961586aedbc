-- telemetry_hourly: a reading's hourly count, minimum, maximum and mean per machine and metric.
-- The community ("timescale") edition keeps it as a continuous aggregate and compresses old chunks;
-- the Apache edition has neither, so there it is a plain view.  Compression rewrites how a row is kept,
-- not one byte of what is hashed.  Dropping chunks by age is never a policy: a chunk may go only when it
-- is sealed and exported.

DO $$
DECLARE
    rollup constant text :=
        'SELECT time_bucket(INTERVAL ''1 hour'', event_time) AS bucket, machine_id, metric, unit, '
        'count(value) AS readings, min(value) AS minimum, max(value) AS maximum, avg(value) AS mean '
        'FROM telemetry GROUP BY 1, 2, 3, 4';
    stream record;
BEGIN
    IF current_setting('timescaledb.license') <> 'timescale' THEN
        EXECUTE 'CREATE VIEW telemetry_hourly AS ' || rollup;
        EXECUTE 'ALTER VIEW telemetry_hourly OWNER TO tally_owner';
    ELSE
        EXECUTE 'CREATE MATERIALIZED VIEW telemetry_hourly WITH (timescaledb.continuous) AS ' || rollup
            || ' WITH NO DATA';
        PERFORM add_continuous_aggregate_policy('telemetry_hourly', start_offset => INTERVAL '7 days',
            end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');
        FOR stream IN
            SELECT hypertable_name AS name FROM timescaledb_information.hypertables
            WHERE hypertable_name IN ('telemetry', 'events', 'transactions', 'predictions')
        LOOP
            EXECUTE format('ALTER TABLE %I SET (timescaledb.compress, '
                'timescaledb.compress_segmentby = ''machine_id'', timescaledb.compress_orderby = ''seq'')',
                stream.name);
            PERFORM add_compression_policy(stream.name::regclass, INTERVAL '30 days');
        END LOOP;
    END IF;
END
$$;

GRANT SELECT ON telemetry_hourly TO tally_audit, tally_grafana;
