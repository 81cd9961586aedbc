-- The ledger: eight append-only, hash-chained streams, their heads, and who may do what.
-- Frozen once released.  tests/migration compares the result with ledger/streams.py.

CREATE EXTENSION IF NOT EXISTS timescaledb;

-- Roles belong to the whole server, so they may be there already.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['tally_owner', 'tally_collector', 'tally_audit', 'tally_grafana'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server, or another migration at this moment, made it
        END;
    END LOOP;
END
$$;

-- The streams.  A chunk holds a week of event time; the chain index serves verification and proofs.

CREATE TABLE telemetry (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    metric text COLLATE "C" NOT NULL,
    unit text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    start_time timestamptz,
    value double precision,
    count bigint,
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('telemetry', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX telemetry_chain ON telemetry (machine_id, seq);
CREATE INDEX telemetry_event_time ON telemetry USING brin (event_time);

CREATE TABLE transactions (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    device_seq bigint,
    site_id text COLLATE "C",
    material text COLLATE "C",
    item_count bigint NOT NULL,
    mass_mg bigint NOT NULL,
    gross_mg bigint,
    tare_mg bigint,
    mass_method text COLLATE "C",
    lot_id text COLLATE "C",
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('transactions', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX transactions_chain ON transactions (machine_id, seq);
CREATE INDEX transactions_event_time ON transactions USING brin (event_time);

CREATE TABLE predictions (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    prediction_id text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C",
    site_id text COLLATE "C",
    model_id text COLLATE "C" NOT NULL,
    model_version text COLLATE "C" NOT NULL,
    model_digest text COLLATE "C",
    input_digest text COLLATE "C",
    material text COLLATE "C" NOT NULL,
    confidence double precision NOT NULL,
    threshold double precision,
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('predictions', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX predictions_chain ON predictions (machine_id, seq);
CREATE INDEX predictions_event_time ON predictions USING brin (event_time);

CREATE TABLE events (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    event_name text COLLATE "C" NOT NULL,
    site_id text COLLATE "C",
    severity_number bigint,
    body text COLLATE "C",
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('events', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX events_chain ON events (machine_id, seq);
CREATE INDEX events_event_time ON events USING brin (event_time);

CREATE TABLE scale_tickets (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    ticket_id text COLLATE "C" NOT NULL,
    lot_id text COLLATE "C" NOT NULL,
    site_id text COLLATE "C",
    plant text COLLATE "C",
    material text COLLATE "C",
    mass_mg bigint NOT NULL,
    gross_mg bigint,
    tare_mg bigint,
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('scale_tickets', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX scale_tickets_chain ON scale_tickets (machine_id, seq);
CREATE INDEX scale_tickets_event_time ON scale_tickets USING brin (event_time);

CREATE TABLE reviews (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    review_id text COLLATE "C" NOT NULL,
    transaction_id text COLLATE "C",
    prediction_id text COLLATE "C",
    decision text COLLATE "C" NOT NULL,
    material text COLLATE "C",
    reviewer text COLLATE "C" NOT NULL,
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('reviews', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX reviews_chain ON reviews (machine_id, seq);
CREATE INDEX reviews_event_time ON reviews USING brin (event_time);

CREATE TABLE incidents (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    alert text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    severity text COLLATE "C",
    site_id text COLLATE "C",
    starts_at timestamptz,
    ends_at timestamptz,
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('incidents', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX incidents_chain ON incidents (machine_id, seq);
CREATE INDEX incidents_event_time ON incidents USING brin (event_time);

CREATE TABLE governance (
    event_time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    model_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    resource_digest bytea NOT NULL,
    action text COLLATE "C" NOT NULL,
    model_version text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    model_digest text COLLATE "C",
    attributes json NOT NULL,
    row_hash bytea NOT NULL
);
SELECT create_hypertable('governance', 'event_time', chunk_time_interval => INTERVAL '7 days',
    create_default_indexes => false);
CREATE INDEX governance_chain ON governance (model_id, seq);
CREATE INDEX governance_event_time ON governance USING brin (event_time);

-- Everything that a sender said of itself, once: digest = SHA-256 of content's UTF-8 text.
CREATE TABLE resources (
    digest bytea PRIMARY KEY,
    content json NOT NULL
);

-- The last row of every chain; moves in the transaction that inserts the rows.
CREATE TABLE chain_heads (
    stream text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    row_hash bytea NOT NULL,
    PRIMARY KEY (stream, chain)
);

-- Requests already committed, so that a retry adds no row.  Kept for a day.
CREATE TABLE request_digests (
    digest bytea PRIMARY KEY,
    committed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX request_digests_committed_at ON request_digests USING brin (committed_at);

-- Each row beside the hash that its own hash builds on.

CREATE VIEW telemetry_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\ntelemetry\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM telemetry AS r;
CREATE VIEW transactions_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\ntransactions\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM transactions AS r;
CREATE VIEW predictions_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\npredictions\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM predictions AS r;
CREATE VIEW events_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\nevents\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM events AS r;
CREATE VIEW scale_tickets_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\nscale_tickets\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM scale_tickets AS r;
CREATE VIEW reviews_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\nreviews\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM reviews AS r;
CREATE VIEW incidents_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.machine_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\nincidents\n' || r.machine_id, 'UTF8'))
) AS previous_hash
FROM incidents AS r;
CREATE VIEW governance_chained AS
SELECT r.*, coalesce(
    lag(r.row_hash) OVER (PARTITION BY r.model_id ORDER BY r.seq),
    sha256(convert_to(E'tally/v1\ngovernance\n' || r.model_id, 'UTF8'))
) AS previous_hash
FROM governance AS r;

-- Append-only, for everybody.  A row trigger reaches the chunks too; TRUNCATE is refused on the stream.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The argument, not TG_TABLE_NAME: on a chunk that is the chunk's name, which tells nobody anything.
    RAISE EXCEPTION '% refused: % is append-only; a correction is a new row', TG_OP, TG_ARGV[0]
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION refuse_retreat() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stream <> OLD.stream OR NEW.chain <> OLD.chain OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'a chain head only moves forward: % of % from % to % refused',
            OLD.chain, OLD.stream, OLD.seq, NEW.seq USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

DO $$
DECLARE
    stream_name text;
BEGIN
    FOREACH stream_name IN ARRAY ARRAY[
        'telemetry', 'transactions', 'predictions', 'events',
        'scale_tickets', 'reviews', 'incidents', 'governance',
        'resources'
    ] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', stream_name, stream_name);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', stream_name, stream_name);
        EXECUTE format('ALTER TABLE %I OWNER TO tally_owner', stream_name);
        EXECUTE format('GRANT INSERT ON %I TO tally_collector', stream_name);
        EXECUTE format('GRANT SELECT ON %I TO tally_audit', stream_name);
        IF stream_name <> 'resources' THEN
            EXECUTE format('ALTER VIEW %I OWNER TO tally_owner', stream_name || '_chained');
            EXECUTE format('GRANT SELECT ON %I TO tally_audit, tally_grafana', stream_name || '_chained');
        END IF;
    END LOOP;
END
$$;

CREATE TRIGGER forward_only BEFORE UPDATE ON chain_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_retreat();
CREATE TRIGGER append_only BEFORE DELETE ON chain_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_change('chain_heads');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON chain_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('chain_heads');

ALTER TABLE chain_heads OWNER TO tally_owner;
ALTER TABLE request_digests OWNER TO tally_owner;
ALTER FUNCTION refuse_change() OWNER TO tally_owner;
ALTER FUNCTION refuse_retreat() OWNER TO tally_owner;

GRANT SELECT, INSERT, UPDATE ON chain_heads TO tally_collector;
GRANT SELECT, INSERT, DELETE ON request_digests TO tally_collector;
-- When a machine was last seen, for the collector's metrics after a restart.
GRANT SELECT (machine_id, seq, received_at, resource_digest) ON telemetry, events TO tally_collector;
GRANT SELECT ON resources TO tally_collector;
GRANT SELECT ON chain_heads, request_digests TO tally_audit;
GRANT SELECT ON alembic_version TO tally_collector, tally_audit;
