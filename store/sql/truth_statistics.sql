-- Purpose: the inputs' features of a sample of answers; a row's hash is as good as a die, and the same for all.
-- $1 text: model; $2 text: version; $3, $4 timestamptz: from, until; $5 bytea: bound of the sample
-- Returns: statistics, a JSON text
SELECT (p.attributes -> 'prediction.statistics')::text AS statistics
FROM predictions AS p
WHERE p.event_time >= $3 AND p.event_time < $4
    AND p.model_id = $1::text COLLATE "C" AND p.model_version = $2::text COLLATE "C"
    AND substring(p.row_hash FOR 8) < $5
