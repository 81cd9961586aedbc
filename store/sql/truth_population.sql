-- Purpose: how often a model version answered what, and how sure it was.
-- $1 text: model; $2 text: version; $3, $4 timestamptz: from, until; $5 double precision[]: edges of the
-- confidence's intervals; $6 double precision: confidence below which an answer without a threshold is unsure
-- Returns: material, bucket (0 below the first edge, one more from each edge on), answers, unsure
SELECT p.material, width_bucket(p.confidence, $5::double precision[]) AS bucket, count(*) AS answers,
    count(*) FILTER (WHERE p.confidence < coalesce(p.threshold, $6)) AS unsure
FROM predictions AS p
WHERE p.event_time >= $3 AND p.event_time < $4
    AND p.model_id = $1::text COLLATE "C" AND p.model_version = $2::text COLLATE "C"
GROUP BY 1, 2
