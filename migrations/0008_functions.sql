-- SPDX-License-Identifier: Apache-2.0
-- Sessions, tokens, memory, day partitions: the functions beside the journal.

SET LOCAL search_path = tb;

-- The edge's getOrCreate: its own small commit, once in a session's life, before the first ENQUEUE.
CREATE FUNCTION tb.open_session(p_tenant bigint, p_agent uuid, p_key text, p_session uuid, p_slot smallint, p_user text, p_mode text)
RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE v uuid;
BEGIN
  INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot, user_id, mode)
  VALUES (p_tenant, p_session, p_agent, p_key, p_slot, p_user, p_mode)
  ON CONFLICT (tenant_id, agent_id, session_key) DO NOTHING RETURNING session_id INTO v;
  IF v IS NULL THEN
    SELECT session_id INTO STRICT v FROM tb.agent_sessions WHERE tenant_id = p_tenant AND agent_id = p_agent AND session_key = p_key;
  ELSE
    INSERT INTO tb.lanes (tenant_id, session_id) VALUES (p_tenant, v);
  END IF;
  RETURN v;
END $$;

-- A keyed effect: the same p_idem again returns what the first call did. Writes only for a live run of this capability.
CREATE FUNCTION tb.memory_store(p_cap text, p_run uuid, p_fence bigint, p_agent uuid, p_memory uuid, p_path text, p_body text, p_tags text[],
  p_append boolean, p_idem text)
RETURNS TABLE (memory_id uuid, version integer, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_tenant bigint; e tb.agent_memory_entries; v_body text;
BEGIN
  SELECT q.tenant_id INTO v_tenant FROM tb.worker_caps c
    JOIN tb.agent_run_queue q ON q.tenant_id = c.tenant_id AND q.run_id = p_run AND q.cap_sha256 = c.cap_sha256
   WHERE c.cap_sha256 = sha256(convert_to(p_cap, 'UTF8')) AND c.expires_at > now()
     AND q.state = 'running' AND q.fence = p_fence AND q.agent_id = p_agent;
  IF NOT FOUND THEN RAISE EXCEPTION 'not a live run of this worker' USING ERRCODE = 'TB003'; END IF;
  -- Writers of one agent's memory go one after the other, also while an entry does not exist yet.
  PERFORM pg_advisory_xact_lock(hashtextextended(v_tenant || ':' || p_agent || ':' || p_path, 7));
  RETURN QUERY SELECT v.memory_id, v.version, v.version = 1 FROM tb.memory_versions v
    WHERE v.tenant_id = v_tenant AND v.agent_id = p_agent AND v.idem_key = p_idem;
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO e FROM tb.agent_memory_entries x
   WHERE x.tenant_id = v_tenant AND x.agent_id = p_agent AND x.path = p_path AND x.deleted_at IS NULL FOR UPDATE;
  IF FOUND THEN
    v_body := CASE WHEN p_append THEN rtrim(e.body, E'\n') || E'\n' || p_body ELSE p_body END;
    IF octet_length(v_body) > 1048576 THEN
      RAISE EXCEPTION 'the document % would exceed 1 MiB', p_path USING ERRCODE = '54000';
    END IF;
    UPDATE tb.agent_memory_entries x SET body = v_body, version = x.version + 1, updated_at = now(),
           tags = ARRAY(SELECT DISTINCT t FROM unnest(x.tags || p_tags) t ORDER BY t)
     WHERE x.tenant_id = v_tenant AND x.agent_id = p_agent AND x.memory_id = e.memory_id RETURNING x.* INTO e;
  ELSE
    INSERT INTO tb.agent_memory_entries (tenant_id, agent_id, memory_id, path, body, tags)
    VALUES (v_tenant, p_agent, p_memory, p_path, p_body, p_tags) RETURNING * INTO e;
  END IF;
  INSERT INTO tb.memory_versions (tenant_id, agent_id, memory_id, version, body, author, idem_key)
  VALUES (v_tenant, p_agent, e.memory_id, e.version, e.body, p_run::text, p_idem);
  RETURN QUERY SELECT e.memory_id, e.version, e.version = 1;
END $$;

-- ------------------------------------------------------------------ day partitions of run_events
CREATE FUNCTION tb.uuid7_floor(ts timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM ts) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid $$;

-- Makes the days from yesterday to p_ahead days on, drops days older than p_keep that hold no live run. Called hourly by the supervisor;
-- a lock it cannot get in 1 s fails the call, the next one tries again. A day with strays already in DEFAULT stays there.
CREATE FUNCTION tb.events_roll(p_ahead integer, p_keep integer) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '1s' AS $$
DECLARE today date := (now() AT TIME ZONE 'UTC')::date; d date; lo uuid; hi uuid; part text;
BEGIN
  FOR d IN SELECT today + i FROM generate_series(-1, p_ahead) i LOOP
    part := 'run_events_' || to_char(d, 'YYYYMMDD');
    lo := tb.uuid7_floor(d::timestamp AT TIME ZONE 'UTC'); hi := tb.uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC');
    CONTINUE WHEN to_regclass('tb.' || part) IS NOT NULL
               OR EXISTS (SELECT FROM tb.run_events_default WHERE run_id >= lo AND run_id < hi);
    EXECUTE format('CREATE TABLE tb.%I PARTITION OF tb.run_events FOR VALUES FROM (%L) TO (%L)', part, lo, hi);
  END LOOP;
  FOR part, d IN SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                  WHERE i.inhparent = 'tb.run_events'::regclass AND c.relname ~ '^run_events_[0-9]{8}$' LOOP
    lo := tb.uuid7_floor(d::timestamp AT TIME ZONE 'UTC'); hi := tb.uuid7_floor((d + 1)::timestamp AT TIME ZONE 'UTC');
    IF d < today - p_keep AND NOT EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.run_id >= lo AND q.run_id < hi) THEN
      EXECUTE format('DROP TABLE tb.%I', part);
    END IF;
  END LOOP;
END $$;
DO $$ BEGIN PERFORM tb.events_roll(2, 3); END $$;

-- ------------------------------------------------------------------ who is asking
CREATE FUNCTION tb.cap_tenant() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT c.tenant_id FROM tb.worker_caps c
   WHERE c.cap_sha256 = sha256(convert_to(current_setting('app.cap', true), 'UTF8')) AND c.expires_at > now() $$;

CREATE FUNCTION tb.edge_tenant() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT nullif(current_setting('app.tenant_id', true), '')::bigint $$;

-- Tokens are written through functions that check an admin token themselves, so a captured edge cannot mint one.
CREATE FUNCTION tb.admin_tenant(p_by uuid, p_secret text) RETURNS bigint LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v bigint;
BEGIN
  SELECT t.tenant_id INTO v FROM tb.api_tokens t
   WHERE t.tenant_id = tb.edge_tenant() AND t.token_id = p_by AND t.secret_sha256 = sha256(convert_to(p_secret, 'UTF8'))
     AND t.scopes @> ARRAY['admin'] AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now());
  IF v IS NULL THEN RAISE EXCEPTION 'admin token required' USING ERRCODE = 'TB003'; END IF;
  RETURN v;
END $$;
CREATE FUNCTION tb.token_create(p_by uuid, p_secret text, p_token uuid, p_sha256 bytea, p_scopes text[], p_expires timestamptz)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes, expires_at)
  VALUES (tb.admin_tenant(p_by, p_secret), p_token, p_sha256, p_scopes, p_expires) $$;
CREATE FUNCTION tb.token_revoke(p_by uuid, p_secret text, p_token uuid)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  UPDATE tb.api_tokens SET revoked_at = coalesce(revoked_at, now())
   WHERE tenant_id = tb.admin_tenant(p_by, p_secret) AND token_id = p_token $$;

-- Builder tools: the worker has no write on the catalogue; this checks capability, live run and session mode. policy_set, which also
-- checks tool_ceilings, comes with the builder work in the same shape.
CREATE FUNCTION tb.builder_agent_save(p_run uuid, p_fence bigint, p_agent uuid, p_expect integer, p_config jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.cap_tenant();
BEGIN
  PERFORM 1 FROM tb.agent_run_queue q JOIN tb.agent_sessions s ON s.tenant_id = q.tenant_id AND s.session_id = q.session_id
    WHERE q.tenant_id = v_tenant AND q.run_id = p_run AND q.state = 'running' AND q.fence = p_fence AND s.mode = 'builder';
  IF NOT FOUND THEN RAISE EXCEPTION 'not a builder run' USING ERRCODE = 'TB003'; END IF;
  UPDATE tb.agents SET revision = revision + 1
   WHERE tenant_id = v_tenant AND agent_id = p_agent AND revision = p_expect AND deleted_at IS NULL;
  IF NOT FOUND THEN RAISE EXCEPTION 'agent changed meanwhile' USING ERRCODE = 'TB004'; END IF;
  INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)
  VALUES (v_tenant, p_agent, p_expect + 1, p_config, p_run::text);
  RETURN p_expect + 1;
END $$;

-- Memory search. @@ and vector operators are not leakproof, so under a tenant policy their indexes are unused; a role whose policy is
-- USING (true) may use them, and the wrappers pin the tenant. The memory work adds the vector leg.
CREATE FUNCTION tb.memory_search_in(p_tenant bigint, p_agent uuid, p_query text, p_limit integer)
RETURNS TABLE (memory_id uuid, chunk_no integer, score real) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT c.memory_id, c.chunk_no, ts_rank(c.tsv, q) FROM tb.memory_chunks c, websearch_to_tsquery('simple', p_query) q
   WHERE c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.tsv @@ q ORDER BY 3 DESC LIMIT least(p_limit, 100) $$;
CREATE FUNCTION tb.memory_search(p_agent uuid, p_query text, p_limit integer)
RETURNS TABLE (memory_id uuid, chunk_no integer, score real) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$ SELECT * FROM tb.memory_search_in(tb.cap_tenant(), $1, $2, $3) $$;
CREATE FUNCTION tb.memory_search_edge(p_agent uuid, p_query text, p_limit integer)
RETURNS TABLE (memory_id uuid, chunk_no integer, score real) LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$ SELECT * FROM tb.memory_search_in(tb.edge_tenant(), $1, $2, $3) $$;
