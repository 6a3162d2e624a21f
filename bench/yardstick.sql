-- SPDX-License-Identifier: Apache-2.0
-- The yardstick's tables: plain twins of the journal's, with the same columns and indexes and without functions, policies,
-- idempotency, events or usage. pgbench drives them with bench/turn2.sql: what two commits of a turn cost by themselves.
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.lanes (LIKE tb.lanes INCLUDING ALL) WITH (fillfactor = 80);
CREATE TABLE bench.agent_run_queue (LIKE tb.agent_run_queue INCLUDING ALL) WITH (fillfactor = 60);
CREATE TABLE bench.agent_runs (LIKE tb.agent_runs INCLUDING ALL);
CREATE TABLE bench.session_messages (LIKE tb.session_messages INCLUDING ALL);
-- The twin of run_inputs, for a single durable row (bench/insert.sql).
CREATE TABLE bench.inserts (tenant_id bigint NOT NULL DEFAULT 1, run_id uuid, body jsonb NOT NULL, PRIMARY KEY (tenant_id, run_id));
CREATE FUNCTION bench.sid(k bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
  $$ SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(k), 12, '0'))::uuid $$;
INSERT INTO bench.lanes (tenant_id, session_id) SELECT 1, bench.sid(g) FROM generate_series(1, 2048) g;
VACUUM ANALYZE bench.lanes;
