-- Deposits whose transaction is on record more than once.  The record with the least mass (of equal ones the
-- earliest) is the transaction's own, 'first'; one with the same content is a 'duplicate' of it, any other a
-- 'conflict'.
-- Reads: deposits, repeated_deposits
-- Returns: machine_id, seq, transaction_id, role
SELECT machine_id, seq, transaction_id,
    CASE
        WHEN place = 1 THEN 'first'
        WHEN first_machine_id = machine_id AND first_event_us = event_us
            AND first_device_seq IS NOT DISTINCT FROM device_seq
            AND first_material IS NOT DISTINCT FROM material
            AND first_item_count = item_count AND first_mass_mg = mass_mg
            AND first_gross_mg IS NOT DISTINCT FROM gross_mg
            AND first_tare_mg IS NOT DISTINCT FROM tare_mg
            AND first_lot_id IS NOT DISTINCT FROM lot_id
        THEN 'duplicate'
        ELSE 'conflict'
    END AS role
FROM (
    SELECT d.machine_id, d.seq, d.transaction_id, d.event_us, d.device_seq, d.material, d.item_count,
        d.mass_mg, d.gross_mg, d.tare_mg, d.lot_id,
        row_number() OVER w AS place,
        count(*) OVER (PARTITION BY d.transaction_id) AS records,
        first_value(d.machine_id) OVER w AS first_machine_id,
        first_value(d.event_us) OVER w AS first_event_us,
        first_value(d.device_seq) OVER w AS first_device_seq,
        first_value(d.material) OVER w AS first_material,
        first_value(d.item_count) OVER w AS first_item_count,
        first_value(d.mass_mg) OVER w AS first_mass_mg,
        first_value(d.gross_mg) OVER w AS first_gross_mg,
        first_value(d.tare_mg) OVER w AS first_tare_mg,
        first_value(d.lot_id) OVER w AS first_lot_id
    FROM deposits AS d
    JOIN repeated_deposits AS repeated ON repeated.transaction_key = d.transaction_key
    WINDOW w AS (PARTITION BY d.transaction_id ORDER BY d.mass_mg, d.event_us + d.delay_us, d.machine_id, d.seq)
) AS ranked
WHERE records > 1
