-- SPDX-License-Identifier: Apache-2.0
-- Roles and the schema. Run as the database's owner: CREATEROLE, no superuser needed; no running process logs in as it.
-- `terabitsctl migrate` gives tb_supervisor, tb_edge and tb_worker LOGIN and a password each; tb_search never logs in.

DO $$
DECLARE r text;
BEGIN
  FOREACH r IN ARRAY ARRAY['tb_supervisor', 'tb_edge', 'tb_worker', 'tb_search'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', r);
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = r AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)) THEN
      RAISE EXCEPTION 'role % exists and has rights it must not have', r
        USING HINT = format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB', r);
    END IF;
  END LOOP;
  -- A temporary table would shadow a real one for any function that forgot to pin its search_path.
  EXECUTE format('REVOKE TEMP ON DATABASE %I FROM PUBLIC', current_database());
  -- The journal's statements are planned once a connection, never by the values of one batch.
  FOREACH r IN ARRAY ARRAY['tb_supervisor', 'tb_edge', 'tb_worker'] LOOP
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET plan_cache_mode = force_generic_plan', r, current_database());
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET jit = off', r, current_database());
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET idle_in_transaction_session_timeout = %L', r, current_database(), '10s');
  END LOOP;
END $$;

-- Since PostgreSQL 15 PUBLIC cannot create in "public"; a cluster upgraded from an older one still allows it. Only the
-- owner of that schema can revoke it, so elsewhere this is left to the operator.
DO $$
BEGIN
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
EXCEPTION WHEN insufficient_privilege OR invalid_schema_name THEN NULL;
END $$;

CREATE SCHEMA tb;
REVOKE ALL ON SCHEMA tb FROM PUBLIC;
GRANT USAGE ON SCHEMA tb TO tb_supervisor, tb_edge, tb_worker, tb_search;
-- A function is nobody's until it is granted; ALTER DEFAULT PRIVILEGES IN SCHEMA cannot take PUBLIC's right away, the
-- global form does, for what this owner creates.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
