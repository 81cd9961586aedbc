-- Which rows were dropped with their chunks: see docs/retention.md.  Frozen once released.

-- Rows first_seq to last_seq of a chain, dropped by the drop of that number (1, 2, 3 ...).  The digest of all these
-- rows up to a drop is in that drop's event, audit.retention, in the ledger itself: without it none of them counts.
CREATE TABLE dropped_runs (
    drop_number bigint NOT NULL CHECK (drop_number >= 1),
    stream text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL CHECK (first_seq >= 1),
    last_seq bigint NOT NULL CHECK (last_seq >= first_seq),
    last_hash bytea NOT NULL CHECK (octet_length(last_hash) = 32),
    PRIMARY KEY (stream, chain, first_seq)
);
COMMENT ON COLUMN dropped_runs.last_hash IS 'of row last_seq: what the next row builds on';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON dropped_runs
    FOR EACH ROW EXECUTE FUNCTION refuse_change('dropped_runs');
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON dropped_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('dropped_runs');
ALTER TABLE dropped_runs OWNER TO tally_owner;
GRANT SELECT ON dropped_runs TO tally_audit, tally_sealer;
