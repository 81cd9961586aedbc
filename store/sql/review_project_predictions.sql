-- Purpose: bring new predictions to the queue, each row once: the unsure ones, and a sample of the others that
--          anybody can draw again (the first 8 bytes of the SHA-256 of its id lie below the bound).  One that was
--          reviewed before is decided at once.  Chains that another instance is at are left to it.
-- $1 integer: chains at most; $2 bigint: rows of each at most; $3 double precision: confidence below which a
-- prediction is unsure if it names no threshold; $4 bytea: the sample's bound; $5 double precision: its rate
-- Returns: chain, seq up to which it is done now, rows that were read, left (rows that remain)
WITH moved AS MATERIALIZED (
    SELECT done.chain, done.seq AS first, least(heads.seq, done.seq + $2) AS last, heads.seq AS head
    FROM review_progress AS done
    JOIN chain_heads AS heads ON heads.stream = done.stream AND heads.chain = done.chain
    WHERE done.stream = 'predictions' AND heads.seq > done.seq
    ORDER BY done.chain
    LIMIT $1
    FOR UPDATE OF done SKIP LOCKED
), items AS (
    INSERT INTO review_queue (prediction_id, machine_id, seq, transaction_id, model_id, model_version,
        predicted, confidence, top, covers, predicted_at, reason, sample_rate, state, decided_at, decision,
        material, reviewer, review_id)
    SELECT news.prediction_id, news.machine_id, news.seq, news.transaction_id, news.model_id,
        news.model_version, news.material, news.confidence, news.attributes -> 'prediction.top',
        news.attributes -> 'prediction.covers', news.event_time,
        CASE WHEN news.unsure THEN 'low_confidence' ELSE 'audit_sample' END,
        CASE WHEN news.unsure THEN 1 ELSE $5::double precision END,
        CASE WHEN known.decision IS NULL THEN 'waiting' ELSE 'decided' END, known.event_time, known.decision,
        known.material, known.reviewer, known.review_id
    FROM moved
    CROSS JOIN LATERAL (
        SELECT p.*, p.confidence < coalesce(p.threshold, $3) AS unsure
        FROM predictions AS p
        WHERE p.machine_id = moved.chain AND p.seq > moved.first AND p.seq <= moved.last
    ) AS news
    LEFT JOIN LATERAL (
        SELECT r.event_time, r.decision, r.material, r.reviewer, r.review_id
        FROM reviews AS r
        WHERE r.prediction_id = news.prediction_id AND r.machine_id = news.machine_id
        ORDER BY r.received_at DESC, r.seq DESC
        LIMIT 1
    ) AS known ON true
    WHERE news.unsure OR substring(sha256(convert_to(news.prediction_id, 'UTF8')) FOR 8) < $4
    ORDER BY news.event_time, news.prediction_id
    ON CONFLICT (prediction_id) DO NOTHING
)
UPDATE review_progress AS done
SET seq = moved.last
FROM moved
WHERE done.stream = 'predictions' AND done.chain = moved.chain
RETURNING done.chain, done.seq, moved.last - moved.first AS rows, moved.head - moved.last AS left
