-- What was sealed into the log: see docs/log.md.  Frozen once released.

DO $$
BEGIN
    CREATE ROLE tally_sealer NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of this server, or another migration at this moment, made it
END
$$;

-- The trees that the log ever had: each batch allocates the next one, size and root together, once and for all.
-- Nothing is signed that is not here first.
CREATE TABLE seal_batches (
    batch bigint PRIMARY KEY CHECK (batch >= 1),
    origin text COLLATE "C" NOT NULL,
    first_leaf bigint NOT NULL CHECK (first_leaf >= 0),
    leaves bigint NOT NULL CHECK (leaves >= 1),
    size bigint NOT NULL UNIQUE CHECK (size = first_leaf + leaves),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    heads_digest bytea NOT NULL CHECK (octet_length(heads_digest) = 32),
    sealed_at timestamptz NOT NULL
);
COMMENT ON COLUMN seal_batches.leaves IS 'rows of the batch, and one more for its statement of heads, the last';
COMMENT ON COLUMN seal_batches.heads_digest IS 'SHA-256 of the statement of heads';

-- Which leaves are which rows: leaf first_leaf + n is row first_seq + n of the chain.
CREATE TABLE seals (
    batch bigint NOT NULL,
    stream text COLLATE "C" NOT NULL,
    chain text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL CHECK (first_seq >= 1),
    last_seq bigint NOT NULL CHECK (last_seq >= first_seq),
    first_leaf bigint NOT NULL CHECK (first_leaf >= 0),
    row_hash bytea NOT NULL CHECK (octet_length(row_hash) = 32),
    sites text[] COLLATE "C" NOT NULL,
    PRIMARY KEY (stream, chain, first_seq),
    UNIQUE (stream, chain, batch),
    UNIQUE (first_leaf)
);
COMMENT ON COLUMN seals.row_hash IS 'of row last_seq';
COMMENT ON COLUMN seals.sites IS 'every site that the chain has named so far, sorted';

-- What was published.  A checkpoint comes here when it was signed, and again when the witnesses that the policy asks
-- for had cosigned it.
CREATE TABLE checkpoints (
    size bigint NOT NULL,
    witnessed boolean NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    note text NOT NULL,
    timestamp_token bytea,
    PRIMARY KEY (size, witnessed)
);
COMMENT ON COLUMN checkpoints.note IS 'the signed note, with the cosignatures that it had then';
COMMENT ON COLUMN checkpoints.timestamp_token IS 'an RFC 3161 token over the note, where an authority is asked';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['seal_batches', 'seals', 'checkpoints'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I '
            'FOR EACH ROW EXECUTE FUNCTION refuse_change(%L)', name, name);
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(%L)', name, name);
        EXECUTE format('ALTER TABLE %I OWNER TO tally_owner', name);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tally_sealer', name);
        EXECUTE format('GRANT SELECT ON %I TO tally_audit', name);
    END LOOP;
END
$$;

GRANT SELECT ON telemetry, transactions, predictions, events, scale_tickets, reviews, incidents, governance,
    chain_heads, alembic_version TO tally_sealer;
