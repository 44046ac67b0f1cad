-- What two_phase_commit needs on the primary of every shard: where the decisions on transactions lie that have written on
-- several shards. A decision is a row, written in the transaction of the first writer: it is there if, and only if, that
-- transaction is committed. Whoever finds none writes that there will be none, and the first writer fails then.

SELECT pg_catalog.pg_advisory_xact_lock(4790287331452613937);

CREATE SCHEMA IF NOT EXISTS pgdrover;
GRANT USAGE ON SCHEMA pgdrover TO PUBLIC;

CREATE TABLE IF NOT EXISTS pgdrover.decision (
    id text PRIMARY KEY,
    committed boolean NOT NULL,
    made xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- Anybody may decide on a transaction whose secret they know, and nobody else does: what pg_prepared_xacts shows is a hash of
-- the secret. A decision is durable before it is acted upon, whatever the session thinks of its own commits.
CREATE OR REPLACE FUNCTION pgdrover.decide(secret text) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO pgdrover.decision (id, committed)
    VALUES (substr(encode(sha256(convert_to(secret, 'UTF8')), 'hex'), 1, 24), true);
END
$$;
