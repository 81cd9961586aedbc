-- Readings of a temperature sensor that no machine makes: a leap and the leap back within a few readings
-- ('spike'), or a single leap, which is how a drift ends ('drift').  Leaps across missing readings don't count.
-- A sensor may send any finite number: what is beyond a million degrees is taken as that.
-- Reads: temperatures, parameters
-- Returns: machine_id, sensor, kind, seq (ledger row of the leap), event_us, leap_mc (millidegrees Celsius)
SELECT machine_id, sensor,
    CASE WHEN abs(leap) > q.spike_c THEN 'spike' ELSE 'drift' END AS kind,
    seq, event_us, CAST(floor(leap * 1000 + 0.5) AS bigint) AS leap_mc
FROM (
    SELECT leaps.*,
        lag(leap) OVER w AS leap_before, lag(place) OVER w AS place_before
    FROM (
        SELECT timed.*
        FROM (
            SELECT s.machine_id, s.sensor, s.seq, s.event_us, s.place, s.leap,
                CASE WHEN 2 * s.elapsed_us <= 3 * u.usual_us AND s.elapsed_us > 0 THEN 1 ELSE 0 END AS follows
            FROM (
                SELECT machine_id, sensor, seq, event_us,
                    row_number() OVER r AS place,
                    least(greatest(value, -1000000), 1000000)
                        - lag(least(greatest(value, -1000000), 1000000)) OVER r AS leap,
                    event_us - lag(event_us) OVER r AS elapsed_us
                FROM temperatures
                WINDOW r AS (PARTITION BY machine_id, sensor ORDER BY seq)
            ) AS s
            JOIN (
                SELECT machine_id, sensor, elapsed_us AS usual_us
                FROM (
                    SELECT machine_id, sensor, elapsed_us,
                        row_number() OVER (PARTITION BY machine_id, sensor
                            ORDER BY count(*) DESC, elapsed_us) AS place
                    FROM (
                        SELECT machine_id, sensor,
                            event_us - lag(event_us) OVER (PARTITION BY machine_id, sensor ORDER BY seq)
                                AS elapsed_us
                        FROM temperatures
                    ) AS elapsed
                    WHERE elapsed_us > 0
                    GROUP BY machine_id, sensor, elapsed_us
                ) AS counted
                WHERE place = 1
            ) AS u ON u.machine_id = s.machine_id AND u.sensor = s.sensor
        ) AS timed
        CROSS JOIN parameters AS q
        WHERE follows = 1 AND abs(leap) > q.drift_c
    ) AS leaps
    WINDOW w AS (PARTITION BY machine_id, sensor ORDER BY place)
) AS paired
CROSS JOIN parameters AS q
WHERE event_us >= q.from_us AND event_us < q.to_us
    AND NOT (leap_before IS NOT NULL AND abs(leap) > q.spike_c AND abs(leap_before) > q.spike_c
        AND leap * leap_before < 0 AND place - place_before <= 5)
