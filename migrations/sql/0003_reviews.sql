-- The review queue: which predictions a human should look at, and who does.  It is no evidence: it follows from
-- the ledger (predictions bring items, reviews close them) and can be emptied and made again.
-- Frozen once released.

DO $$
BEGIN
    CREATE ROLE tally_inference NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of this server, or another migration at this moment, made it
END
$$;

CREATE TABLE review_queue (
    prediction_id text COLLATE "C" PRIMARY KEY,
    machine_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    transaction_id text COLLATE "C",
    model_id text COLLATE "C" NOT NULL,
    model_version text COLLATE "C" NOT NULL,
    predicted text COLLATE "C" NOT NULL,
    confidence double precision NOT NULL,
    top json,
    covers json,
    predicted_at timestamptz NOT NULL,
    reason text COLLATE "C" NOT NULL CHECK (reason IN ('low_confidence', 'audit_sample')),
    sample_rate double precision NOT NULL CHECK (sample_rate > 0 AND sample_rate <= 1),
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    state text COLLATE "C" NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'leased', 'decided', 'expired')),
    attempts integer NOT NULL DEFAULT 0,
    trouble text,
    leased_by text COLLATE "C",
    lease_token uuid,
    leased_until timestamptz,
    decided_at timestamptz,
    decision text COLLATE "C",
    material text COLLATE "C",
    reviewer text COLLATE "C",
    review_id text COLLATE "C",
    CHECK (state <> 'leased'
        OR (leased_by IS NOT NULL AND lease_token IS NOT NULL AND leased_until IS NOT NULL)),
    CHECK (state <> 'decided' OR (decided_at IS NOT NULL AND decision IS NOT NULL)),
    CHECK (decision IS NULL OR state IN ('leased', 'decided'))
);
COMMENT ON COLUMN review_queue.seq IS 'position of the prediction in its chain of the predictions stream';
COMMENT ON COLUMN review_queue.sample_rate IS 'probability that such a prediction comes to the queue';
COMMENT ON COLUMN review_queue.decision IS
    'of a leased item: what its holder is putting on record; no other decision may, until the lease runs out';
CREATE INDEX review_queue_open ON review_queue (predicted_at, prediction_id)
    WHERE state IN ('waiting', 'leased');
CREATE INDEX review_queue_leased ON review_queue (leased_until) WHERE state = 'leased';
CREATE INDEX review_queue_decided ON review_queue (decided_at) WHERE state = 'decided';

-- Up to which row of a chain the queue has taken notice.
CREATE TABLE review_progress (
    stream text COLLATE "C" NOT NULL CHECK (stream IN ('predictions', 'reviews')),
    chain text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (stream, chain)
);

-- Whether a prediction has been reviewed, asked when it comes to the queue.
CREATE INDEX reviews_prediction ON reviews (prediction_id);

ALTER TABLE review_queue OWNER TO tally_owner;
ALTER TABLE review_progress OWNER TO tally_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON review_queue, review_progress TO tally_inference;
GRANT SELECT ON telemetry, transactions, predictions, events, scale_tickets, reviews, incidents, governance,
    resources, chain_heads, alembic_version TO tally_inference;
GRANT SELECT ON review_queue, review_progress TO tally_audit;
