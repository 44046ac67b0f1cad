-- What 'pgdrover install unique-id' makes on a shard. SHARD_NUMBER stands for the shard's own number.
--
-- An id has 63 bits: 41 of milliseconds since 2024, which last until September 2093; 10 of the shard's number; and the
-- last 12 of what a sequence gives, which come round after 4,096 ids.

DO $$
DECLARE
    number int;
BEGIN
    IF to_regprocedure('pgdrover.shard_number()') IS NOT NULL THEN
        EXECUTE 'SELECT pgdrover.shard_number()' INTO number;
        IF number <> SHARD_NUMBER THEN
            RAISE EXCEPTION 'this shard has the number % already, and ids that were made with it', number;
        END IF;
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS pgdrover;
GRANT USAGE ON SCHEMA pgdrover TO PUBLIC;

CREATE SEQUENCE IF NOT EXISTS pgdrover.unique_id_sequence;
GRANT USAGE ON SEQUENCE pgdrover.unique_id_sequence TO PUBLIC;

CREATE OR REPLACE FUNCTION pgdrover.shard_number() RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT SHARD_NUMBER';

-- The sequence is drawn from within one millisecond: the clock says the same before and after. So two ids of a shard
-- are the same only if the sequence comes round within a millisecond, or if the clock is set back.
CREATE OR REPLACE FUNCTION pgdrover.unique_id() RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    moment bigint;
    drawn bigint;
BEGIN
    LOOP
        moment := pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::bigint;
        drawn := pg_catalog.nextval('pgdrover.unique_id_sequence'::pg_catalog.regclass);
        IF moment = pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::bigint THEN
            RETURN ((moment - 1704067200000) << 22) | (pgdrover.shard_number() << 12) | (drawn & 4095);
        END IF;
    END LOOP;
END
$$;
