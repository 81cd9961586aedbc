-- Purpose: close the items whose decision has come to the ledger, each row once; it stands in the chain of the
--          machine whose prediction it is about.
-- $1 integer: chains at most; $2 bigint: rows of each at most
-- Returns: chain, seq up to which it is done now, rows that were read, left (rows that remain)
WITH moved AS MATERIALIZED (
    SELECT done.chain, done.seq AS first, least(heads.seq, done.seq + $2) AS last, heads.seq AS head
    FROM review_progress AS done
    JOIN chain_heads AS heads ON heads.stream = done.stream AND heads.chain = done.chain
    WHERE done.stream = 'reviews' AND heads.seq > done.seq
    ORDER BY done.chain
    LIMIT $1
    FOR UPDATE OF done SKIP LOCKED
), decisions AS (
    SELECT DISTINCT ON (r.machine_id, r.prediction_id) r.machine_id, r.prediction_id, r.event_time, r.decision,
        r.material, r.reviewer, r.review_id
    FROM moved
    JOIN reviews AS r ON r.machine_id = moved.chain AND r.seq > moved.first AND r.seq <= moved.last
    WHERE r.prediction_id IS NOT NULL
    ORDER BY r.machine_id, r.prediction_id, r.seq DESC
), closed AS (
    UPDATE review_queue AS items
    SET state = 'decided', decided_at = decisions.event_time, decision = decisions.decision,
        material = decisions.material, reviewer = decisions.reviewer, review_id = decisions.review_id,
        trouble = NULL
    FROM decisions
    WHERE items.prediction_id = decisions.prediction_id AND items.machine_id = decisions.machine_id
)
UPDATE review_progress AS done
SET seq = moved.last
FROM moved
WHERE done.stream = 'reviews' AND done.chain = moved.chain
RETURNING done.chain, done.seq, moved.last - moved.first AS rows, moved.head - moved.last AS left
