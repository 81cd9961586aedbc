-- Purpose: keep a checkpoint that was published; the same again changes nothing
-- size bigint; witnessed boolean; note text; timestamp_token bytea or NULL
-- Returns: nothing
INSERT INTO checkpoints (size, witnessed, note, timestamp_token)
VALUES (%(size)s, %(witnessed)s, %(note)s, %(timestamp_token)s)
ON CONFLICT DO NOTHING
