-- SPDX-License-Identifier: Apache-2.0
-- Tenants, tokens, end users: who may do what, how often, and what of it all is whose.

SET LOCAL search_path = tb;

ALTER TABLE tenants
  ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 10000000),  -- NULL: as many as come
  ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute BETWEEN 1 AND 1000000000000),  -- of models, question and answer
  ADD COLUMN version integer NOT NULL DEFAULT 1;       -- + 1 at every change

ALTER TABLE api_tokens
  ADD COLUMN name text CHECK (octet_length(name) BETWEEN 1 AND 63),
  ADD COLUMN user_id text CHECK (octet_length(user_id) BETWEEN 1 AND 256),  -- the end user whose it is; NULL: nobody's
  ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 10000000),
  ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute BETWEEN 1 AND 1000000000000),
  ADD COLUMN version integer NOT NULL DEFAULT 1,
  ADD COLUMN created_by text,
  ADD COLUMN last_used_at timestamptz,                 -- once a minute at most
  ADD COLUMN rotated_at timestamptz,
  ADD COLUMN previous_sha256 bytea CHECK (octet_length(previous_sha256) = 32),  -- the secret before, good until:
  ADD COLUMN previous_until timestamptz,
  ADD CHECK ((previous_sha256 IS NULL) = (previous_until IS NULL)),
  ADD CHECK (user_id IS NULL OR NOT 'admin' = ANY (scopes)),
  ADD CHECK (tenant_id > 0 OR scopes = '{admin}' AND user_id IS NULL);

-- ------------------------------------------------------------------ what is an end user's
-- The user a request is for; NULL: whoever's. Set with the tenant, in the same statement.
CREATE FUNCTION tb.edge_user() RETURNS text LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('app.user', true), '') $$;

-- Beside the policy of the tenant, never in its place (RESTRICTIVE). BETWEEN: by the primary key, row by row; an equality would let a planner
-- hash all sessions of the tenant.
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['agent_sessions', 'agent_run_queue', 'agent_runs', 'usage_ledger', 'budget_holds'] LOOP
    EXECUTE format('CREATE POLICY edge_user ON tb.%I AS RESTRICTIVE TO tb_edge
      USING ((SELECT tb.edge_user()) IS NULL OR user_id = (SELECT tb.edge_user()))', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['session_messages', 'tool_executions', 'approvals', 'agent_context_snapshots', 'dead_runs', 'schedules'] LOOP
    EXECUTE format('CREATE POLICY edge_user ON tb.%1$I AS RESTRICTIVE TO tb_edge
      USING ((SELECT tb.edge_user()) IS NULL OR EXISTS (SELECT FROM tb.agent_sessions s
        WHERE s.tenant_id = %1$I.tenant_id AND s.session_id BETWEEN %1$I.session_id AND %1$I.session_id))', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['run_events', 'run_inputs', 'deliveries'] LOOP
    EXECUTE format('CREATE POLICY edge_user ON tb.%1$I AS RESTRICTIVE TO tb_edge
      USING ((SELECT tb.edge_user()) IS NULL
        OR EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = %1$I.tenant_id AND q.run_id BETWEEN %1$I.run_id AND %1$I.run_id)
        OR EXISTS (SELECT FROM tb.agent_runs r WHERE r.tenant_id = %1$I.tenant_id AND r.run_id BETWEEN %1$I.run_id AND %1$I.run_id))', t);
  END LOOP;
END $$;
CREATE POLICY edge_user ON subagent_spawns AS RESTRICTIVE TO tb_edge
  USING ((SELECT tb.edge_user()) IS NULL OR EXISTS (SELECT FROM tb.agent_sessions s WHERE s.tenant_id = subagent_spawns.tenant_id
    AND s.session_id BETWEEN subagent_spawns.parent_session_id AND subagent_spawns.parent_session_id));
CREATE POLICY edge_user ON budgets AS RESTRICTIVE TO tb_edge
  USING ((SELECT tb.edge_user()) IS NULL OR scope <> 'user' OR scope_id = (SELECT tb.edge_user()));

CREATE INDEX agent_sessions_of_user ON agent_sessions (tenant_id, user_id, last_active_at DESC, session_id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX agent_runs_of_user ON agent_runs (tenant_id, user_id, run_id DESC) WHERE user_id IS NOT NULL;

-- Whose a session is, of one that the edge has just opened. VOLATILE: it sees what the same statement made.
CREATE FUNCTION tb.session_user_of(p_tenant bigint, p_session uuid) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN (SELECT s.user_id FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session);
END $$;

-- As before, and of the edge's user alone if it names one.
CREATE OR REPLACE FUNCTION tb.message_search(p_session uuid, p_agent uuid, p_text text, p_before timestamptz, p_before_seq bigint, p_rows integer)
RETURNS TABLE (session_id uuid, session_key text, seq bigint, role text, run_id uuid, created_at timestamptz, excerpt text, complete boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_tenant bigint := tb.edge_tenant(); v_terms bigint[] := tb.search_terms(coalesce(p_session, p_agent), p_text);
  v_until timestamptz := clock_timestamp() + interval '1 second'; v_user text := tb.edge_user();
BEGIN
  complete := CASE WHEN p_session IS NOT NULL THEN tb.search_session(v_tenant, p_session, v_until)
                   ELSE tb.search_agent(v_tenant, p_agent, v_until) END;
  RETURN NEXT;
  IF v_terms = '{}' THEN RETURN; END IF;
  RETURN QUERY
  -- By its words alone: any other condition would offer the planner an index over all messages of the tenant.
  WITH hit AS MATERIALIZED (SELECT t.tenant_id, t.session_id, t.seq, t.created_at FROM tb.message_terms t WHERE t.terms @> v_terms),
  page AS MATERIALIZED (SELECT h.* FROM hit h WHERE h.tenant_id = v_tenant AND (h.created_at, h.seq) < (p_before, p_before_seq)
              AND (v_user IS NULL OR EXISTS (SELECT FROM tb.agent_sessions s WHERE s.tenant_id = v_tenant
                AND s.session_id BETWEEN h.session_id AND h.session_id AND s.user_id = v_user))
            ORDER BY h.created_at DESC, h.seq DESC LIMIT p_rows)
  SELECT p.session_id, s.session_key, p.seq, m.role, m.run_id, p.created_at,
         ts_headline('simple', tb.message_text(m.content), plainto_tsquery('simple', p_text),
                     'StartSel="", StopSel="", MaxFragments=1, MaxWords=40, MinWords=20'), NULL::boolean
    FROM page p JOIN tb.agent_sessions s ON s.tenant_id = p.tenant_id AND s.session_id = p.session_id AND s.status <> 'deleted'
    JOIN tb.session_messages m ON m.tenant_id = p.tenant_id AND m.session_id = p.session_id AND m.seq = p.seq
   ORDER BY p.created_at DESC, p.seq DESC;
END $$;

-- ------------------------------------------------------------------ how often
-- What is left of a minute's requests: of a token, or (nil) of a tenant. Edges take from it in advance, a second's worth at a time, so a request
-- costs no statement. Not logged: a crash fills the buckets.
CREATE UNLOGGED TABLE rate_buckets (
  tenant_id bigint NOT NULL, subject uuid NOT NULL,
  level     double precision NOT NULL,
  at        timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, subject)
) WITH (fillfactor = 50);
ALTER TABLE rate_buckets ENABLE ROW LEVEL SECURITY;    -- functions alone

-- p_limit a minute flow in, and as many is the most that lies there. One row an element: how many of p_want there were, what is left, and, with
-- none granted, when there will be one. In the order of keys, so that two edges never wait for each other.
CREATE FUNCTION tb.rate_take(p_tenant bigint[], p_subject uuid[], p_limit integer[], p_want integer[])
RETURNS TABLE (n integer, granted integer, left_over double precision, wait_us bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE r record; v double precision;
BEGIN
  FOR r IN SELECT u.* FROM unnest(p_tenant, p_subject, p_limit, p_want) WITH ORDINALITY u(tenant, subject, most, want, no)
            ORDER BY u.tenant, u.subject, u.no LOOP
    INSERT INTO tb.rate_buckets AS b (tenant_id, subject, level, at) VALUES (r.tenant, r.subject, r.most, clock_timestamp())
    ON CONFLICT DO NOTHING;
    SELECT least(r.most, b.level + greatest(0, extract(epoch FROM clock_timestamp() - b.at)) * r.most / 60.0) INTO v
      FROM tb.rate_buckets b WHERE b.tenant_id = r.tenant AND b.subject = r.subject FOR NO KEY UPDATE;
    n := r.no; granted := least(r.want, floor(v)::integer); left_over := v - granted;
    UPDATE tb.rate_buckets b SET level = rate_take.left_over, at = clock_timestamp() WHERE b.tenant_id = r.tenant AND b.subject = r.subject;
    wait_us := CASE WHEN granted = 0 THEN ceil((1 - v) * 60000000 / r.most)::bigint ELSE 0 END;
    RETURN NEXT;
  END LOOP;
END $$;

-- Which token placed a run, of tokens that may use so many model tokens a minute; kept for a day.
CREATE UNLOGGED TABLE token_runs (
  tenant_id bigint NOT NULL, token_id uuid NOT NULL, run_id uuid NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, token_id, run_id)
);
CREATE INDEX token_runs_at ON token_runs (at);
ALTER TABLE token_runs ENABLE ROW LEVEL SECURITY;      -- functions alone

CREATE FUNCTION tb.token_runs_note(p_tenant bigint[], p_token uuid[], p_run uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.token_runs x WHERE x.ctid IN (SELECT y.ctid FROM tb.token_runs y WHERE y.at < now() - interval '1 day' ORDER BY y.at LIMIT 100
    FOR UPDATE SKIP LOCKED);
  INSERT INTO tb.token_runs (tenant_id, token_id, run_id) SELECT u.* FROM unnest(p_tenant, p_token, p_run) u(t, k, r) ON CONFLICT DO NOTHING;
$$;

-- Model tokens of the last minute, of a tenant or (p_token) of the runs that one token placed; and, when they reach p_limit, how long until they
-- do not any more. By the ledger, so what a run under way uses counts when its step ends.
CREATE FUNCTION tb.model_tokens_used(p_tenant bigint, p_token uuid, p_limit bigint, OUT used bigint, OUT wait_us bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_until timestamptz;
BEGIN
  SELECT coalesce(max(w.newer), 0), max(w.at) FILTER (WHERE w.newer >= p_limit) + interval '1 minute' INTO used, v_until
    FROM (SELECT u.at, sum(u.tokens_in + u.tokens_out) OVER (ORDER BY u.at DESC) AS newer FROM tb.usage_ledger u
           WHERE u.tenant_id = p_tenant AND u.at > now() - interval '1 minute'
             AND (p_token IS NULL OR EXISTS (SELECT FROM tb.token_runs x WHERE x.tenant_id = p_tenant AND x.token_id = p_token
               AND x.run_id BETWEEN u.run_id AND u.run_id))) w;
  wait_us := greatest(0, coalesce(ceil(extract(epoch FROM v_until - now()) * 1000000)::bigint, 0));
END $$;

-- Said by an edge, a batch of its tokens at a time. Who has the row at the moment says it too, or will.
CREATE FUNCTION tb.tokens_used(p_tenant bigint[], p_token uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  UPDATE tb.api_tokens k SET last_used_at = now() WHERE k.ctid IN (SELECT x.ctid FROM tb.api_tokens x
    JOIN unnest(p_tenant, p_token) u(t, id) ON x.tenant_id = u.t AND x.token_id = u.id
   WHERE x.last_used_at IS NULL OR x.last_used_at < now() - interval '50 seconds' FOR NO KEY UPDATE OF x SKIP LOCKED) $$;

-- ------------------------------------------------------------------ what administrators change
-- Every function below is asked in one way: the caller's token and its secret, an id, a document that the edge has checked, the SHA-256 of a new
-- secret, the version that is meant (NULL: any), the audit row's id. It answers outcome, version and a JSON text. The caller is judged here
-- again, by a secret that an edge has only while its owner asks: one that was taken over can mint nothing of its own.

CREATE FUNCTION tb.caller_token(p_by uuid, p_secret text) RETURNS tb.api_tokens
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE k tb.api_tokens; v_sha bytea := sha256(convert_to(p_secret, 'UTF8'));
BEGIN
  SELECT x.* INTO k FROM tb.api_tokens x JOIN tb.tenants t ON t.tenant_id = x.tenant_id
   WHERE x.tenant_id = tb.edge_tenant() AND x.token_id = p_by AND t.status = 'active' AND x.scopes @> ARRAY['admin'] AND x.revoked_at IS NULL
     AND (x.expires_at IS NULL OR x.expires_at > now())
     AND (x.secret_sha256 = v_sha OR x.previous_sha256 = v_sha AND x.previous_until > now());
  IF NOT FOUND THEN
    RAISE EXCEPTION 'admin token required' USING ERRCODE = 'TB003';
  END IF;
  RETURN k;
END $$;
CREATE FUNCTION tb.platform_token(p_by uuid, p_secret text) RETURNS tb.api_tokens
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE k tb.api_tokens := tb.caller_token(p_by, p_secret);
BEGIN
  IF k.tenant_id <> 0 THEN
    RAISE EXCEPTION 'platform token required' USING ERRCODE = 'TB003';
  END IF;
  RETURN k;
END $$;

CREATE FUNCTION tb.admin_noted(p_tenant bigint, p_audit uuid, p_by uuid, p_action text, p_object text, p_detail jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, coalesce(p_audit, gen_random_uuid()), 'token:' || p_by, p_action, p_object, jsonb_strip_nulls(p_detail)) $$;

CREATE FUNCTION tb.us_time(p_us jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT timestamptz 'epoch' + (p_us #>> '{}')::bigint * interval '1 microsecond' $$;

-- ---- tokens
CREATE FUNCTION tb.token_json(k tb.api_tokens) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('id', k.token_id, 'name', k.name, 'scopes', k.scopes, 'user', k.user_id,
    'state', CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.expires_at <= now() THEN 'expired' ELSE 'active' END,
    'limits', jsonb_build_object('requestsPerMinute', k.requests_per_minute, 'tokensPerMinute', k.tokens_per_minute),
    'version', k.version, 'createdAt', tb.as_text(k.created_at), 'createdBy', k.created_by, 'expiresAt', tb.as_text(k.expires_at),
    'lastUsedAt', tb.as_text(k.last_used_at), 'rotatedAt', tb.as_text(k.rotated_at),
    'previousUntil', CASE WHEN k.previous_until > now() THEN tb.as_text(k.previous_until) END, 'revokedAt', tb.as_text(k.revoked_at)) $$;

-- p_scopes: those of who makes it, of which it gets no other one; admin stands for all of a tenant. NULL: the platform's administrator, of a tenant.
CREATE FUNCTION tb.token_new(p_tenant bigint, p_scopes text[], p_by uuid, p_id uuid, p_doc jsonb, p_sha bytea, p_audit uuid,
  OUT outcome text, OUT body jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_scopes text[] := ARRAY(SELECT jsonb_array_elements_text(p_doc->'scopes')); k tb.api_tokens;
BEGIN
  IF p_scopes IS NOT NULL AND NOT v_scopes <@ p_scopes AND (p_tenant = 0 OR NOT 'admin' = ANY (p_scopes)) THEN
    outcome := 'scopes'; RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('tb.api_tokens', p_tenant));
  IF (SELECT count(*) FROM tb.api_tokens x WHERE x.tenant_id = p_tenant AND x.revoked_at IS NULL
         AND (x.expires_at IS NULL OR x.expires_at > now())) >= 10000 THEN
    outcome := 'full'; RETURN;
  END IF;
  INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes, expires_at, name, user_id, requests_per_minute, tokens_per_minute, created_by)
  VALUES (p_tenant, p_id, p_sha, v_scopes, tb.us_time(nullif(p_doc->'expiresUs', 'null')), p_doc->>'name', p_doc->>'user',
          (p_doc->>'requestsPerMinute')::integer, (p_doc->>'tokensPerMinute')::bigint, 'token:' || p_by)
  RETURNING * INTO k;
  body := tb.token_json(k); outcome := 'done';
  PERFORM tb.admin_noted(p_tenant, p_audit, p_by, 'token.create', p_id::text, jsonb_build_object('scopes', k.scopes, 'name', k.name, 'user', k.user_id,
    'expiresAt', k.expires_at, 'requestsPerMinute', k.requests_per_minute, 'tokensPerMinute', k.tokens_per_minute));
END $$;

CREATE FUNCTION tb.token_mint(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret);
BEGIN
  SELECT t.outcome, t.body::text INTO outcome, body FROM tb.token_new(c.tenant_id, c.scopes, p_by, p_id, p_doc, p_sha, p_audit) t;
  version := 1;
END $$;

-- What the document names becomes so; null: none.
CREATE FUNCTION tb.token_alter(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret); k tb.api_tokens;
BEGIN
  SELECT * INTO k FROM tb.api_tokens x WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id AND x.revoked_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := k.version;
  IF p_expect <> k.version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.api_tokens x SET version = x.version + 1,
         name = CASE WHEN p_doc ? 'name' THEN p_doc->>'name' ELSE x.name END,
         expires_at = CASE WHEN p_doc ? 'expiresUs' THEN tb.us_time(nullif(p_doc->'expiresUs', 'null')) ELSE x.expires_at END,
         requests_per_minute = CASE WHEN p_doc ? 'requestsPerMinute' THEN (p_doc->>'requestsPerMinute')::integer ELSE x.requests_per_minute END,
         tokens_per_minute = CASE WHEN p_doc ? 'tokensPerMinute' THEN (p_doc->>'tokensPerMinute')::bigint ELSE x.tokens_per_minute END
   WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id RETURNING * INTO k;
  PERFORM tb.admin_noted(c.tenant_id, p_audit, p_by, 'token.change', p_id::text, jsonb_build_object('name', k.name, 'expiresAt', k.expires_at,
    'requestsPerMinute', k.requests_per_minute, 'tokensPerMinute', k.tokens_per_minute, 'version', k.version));
  outcome := 'done'; version := k.version; body := tb.token_json(k)::text;
END $$;

-- {"graceSeconds"}: so long the secret before is good, too.
CREATE FUNCTION tb.token_rotate(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret); k tb.api_tokens; v_grace integer := coalesce((p_doc->>'graceSeconds')::integer, 0);
BEGIN
  SELECT * INTO k FROM tb.api_tokens x WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id AND x.revoked_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := k.version;
  IF p_expect <> k.version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.api_tokens x SET version = x.version + 1, secret_sha256 = p_sha, rotated_at = now(),
         previous_sha256 = CASE WHEN v_grace > 0 THEN x.secret_sha256 END,
         previous_until = CASE WHEN v_grace > 0 THEN now() + v_grace * interval '1 second' END
   WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id RETURNING * INTO k;
  PERFORM tb.admin_noted(c.tenant_id, p_audit, p_by, 'token.rotate', p_id::text, jsonb_build_object('graceSeconds', v_grace, 'version', k.version));
  outcome := 'done'; version := k.version; body := tb.token_json(k)::text;
END $$;

CREATE FUNCTION tb.token_end(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret); k tb.api_tokens;
BEGIN
  SELECT * INTO k FROM tb.api_tokens x WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := k.version;
  IF p_expect <> k.version THEN
    outcome := 'stale'; RETURN;
  END IF;
  IF k.revoked_at IS NULL THEN
    UPDATE tb.api_tokens x SET version = x.version + 1, revoked_at = now(), previous_sha256 = NULL, previous_until = NULL
     WHERE x.tenant_id = c.tenant_id AND x.token_id = p_id RETURNING * INTO k;
    PERFORM tb.admin_noted(c.tenant_id, p_audit, p_by, 'token.revoke', p_id::text, '{}');
  END IF;
  outcome := 'done'; version := k.version; body := tb.token_json(k)::text;
END $$;

CREATE FUNCTION tb.token_one(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret);
BEGIN
  SELECT k.version, tb.token_json(k)::text INTO version, body FROM tb.api_tokens k WHERE k.tenant_id = c.tenant_id AND k.token_id = p_id;
  outcome := CASE WHEN FOUND THEN 'done' ELSE 'absent' END;
END $$;

-- {"limit","before","state","user"}: the newest first.
CREATE FUNCTION tb.token_page(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret); v_limit integer := (p_doc->>'limit')::integer;
BEGIN
  WITH p AS (
    SELECT k, k.token_id, row_number() OVER (ORDER BY k.token_id DESC) AS n FROM tb.api_tokens k
     WHERE k.tenant_id = c.tenant_id AND k.token_id < coalesce((p_doc->>'before')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
       AND (p_doc->>'user' IS NULL OR k.user_id = p_doc->>'user')
       AND (p_doc->>'state' IS NULL OR p_doc->>'state' = tb.token_json(k)->>'state')
     ORDER BY k.token_id DESC LIMIT v_limit + 1)
  SELECT (jsonb_build_object('tokens', coalesce((SELECT jsonb_agg(tb.token_json(p.k) ORDER BY n) FROM p WHERE n <= v_limit), '[]'))
    || coalesce((SELECT jsonb_build_object('next', token_id) FROM p WHERE n = v_limit AND EXISTS (SELECT FROM p WHERE n > v_limit)), '{}'))::text
    INTO body;
  outcome := 'done';
END $$;

-- ---- tenants
CREATE FUNCTION tb.tenant_json(t tb.tenants) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('id', t.tenant_id, 'name', t.slug, 'status', t.status, 'weight', t.weight, 'maxRunning', t.max_running,
    'maxQueued', t.max_queued, 'retentionDays', ceil(extract(epoch FROM t.retain_runs) / 86400)::integer,
    'limits', jsonb_build_object('requestsPerMinute', t.requests_per_minute, 'tokensPerMinute', t.tokens_per_minute),
    'version', t.version, 'createdAt', tb.as_text(t.created_at)) $$;

CREATE FUNCTION tb.tenant_own(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  SELECT t.version, tb.tenant_json(t)::text INTO version, body FROM tb.tenants t WHERE t.tenant_id = tb.edge_tenant();
  outcome := CASE WHEN FOUND THEN 'done' ELSE 'absent' END;
END $$;

-- One that is no platform: by its number or its name.
CREATE FUNCTION tb.tenant_named(p_name text) RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT t.tenant_id FROM tb.tenants t WHERE t.tenant_id > 0 AND (t.slug = p_name OR t.tenant_id::text = p_name) ORDER BY t.slug = p_name DESC LIMIT 1 $$;

-- An agent with the configuration of {"name","config","profile"}.
CREATE FUNCTION tb.tenant_agent(p_tenant bigint, p_by uuid, p_doc jsonb) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_id uuid := (p_doc->>'id')::uuid;
BEGIN
  INSERT INTO tb.agents (tenant_id, agent_id, name, revision, max_running) VALUES (p_tenant, v_id, p_doc->>'name', 1, 1000);
  INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)
  VALUES (p_tenant, v_id, 1, p_doc->'config', 'token:' || p_by);
  INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) VALUES (p_tenant, v_id, coalesce(p_doc->>'profile', 'coding'));
  PERFORM tb.admin_noted(p_tenant, NULL, p_by, 'agent.create', p_doc->>'name', '{"revision": 1}');
  RETURN jsonb_build_object('id', v_id, 'name', p_doc->>'name', 'revision', 1);
END $$;

-- {"name", numbers, "agent"?, "token"?: with "id"}: all of it, or nothing.
CREATE FUNCTION tb.tenant_new(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret); t tb.tenants; v jsonb;
BEGIN
  LOCK TABLE tb.tenants IN SHARE ROW EXCLUSIVE MODE;   -- numbers are given one after the other
  INSERT INTO tb.tenants (tenant_id, slug, weight, max_running, max_queued, retain_runs, requests_per_minute, tokens_per_minute)
  SELECT max(x.tenant_id) + 1, p_doc->>'name', coalesce((p_doc->>'weight')::smallint, 100), coalesce((p_doc->>'maxRunning')::integer, 50),
         coalesce((p_doc->>'maxQueued')::integer, 10000), coalesce((p_doc->>'retentionDays')::integer, 30) * interval '1 day',
         (p_doc->>'requestsPerMinute')::integer, (p_doc->>'tokensPerMinute')::bigint FROM tb.tenants x
  ON CONFLICT (slug) DO NOTHING RETURNING * INTO t;
  IF NOT FOUND THEN
    outcome := 'taken'; RETURN;
  END IF;
  PERFORM tb.admin_noted(0, p_audit, p_by, 'tenant.create', t.slug, jsonb_build_object('id', t.tenant_id) || (p_doc - 'token' - 'agent'));
  v := jsonb_build_object('tenant', tb.tenant_json(t));
  IF p_doc ? 'agent' THEN
    v := v || jsonb_build_object('agent', tb.tenant_agent(t.tenant_id, p_by, p_doc->'agent'));
  END IF;
  IF p_sha IS NOT NULL THEN
    v := v || jsonb_build_object('token', (SELECT n.body FROM tb.token_new(t.tenant_id, NULL, p_by, p_id, p_doc->'token', p_sha, NULL) n));
  END IF;
  outcome := 'done'; version := 1; body := v::text;
END $$;

-- A token of the tenant {"tenant"}: its first one, as a rule.
CREATE FUNCTION tb.tenant_token(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret); v_tenant bigint := tb.tenant_named(p_doc->>'tenant');
BEGIN
  IF v_tenant IS NULL OR (SELECT t.status = 'deleting' FROM tb.tenants t WHERE t.tenant_id = v_tenant) THEN
    outcome := 'absent'; RETURN;
  END IF;
  SELECT n.outcome, (n.body || jsonb_build_object('tenantId', v_tenant))::text INTO outcome, body
    FROM tb.token_new(v_tenant, NULL, p_by, p_id, p_doc, p_sha, p_audit) n;
  PERFORM tb.admin_noted(0, NULL, p_by, 'tenant.token', v_tenant::text, jsonb_build_object('token', p_id, 'scopes', p_doc->'scopes'));
  version := 1;
END $$;

CREATE FUNCTION tb.tenant_alter(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret); t tb.tenants;
BEGIN
  SELECT * INTO t FROM tb.tenants x WHERE x.tenant_id = tb.tenant_named(p_doc->>'tenant') AND x.status <> 'deleting' FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := t.version;
  IF p_expect <> t.version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.tenants x SET version = x.version + 1, status = coalesce(p_doc->>'status', x.status),
         weight = coalesce((p_doc->>'weight')::smallint, x.weight), max_running = coalesce((p_doc->>'maxRunning')::integer, x.max_running),
         max_queued = coalesce((p_doc->>'maxQueued')::integer, x.max_queued),
         retain_runs = coalesce((p_doc->>'retentionDays')::integer * interval '1 day', x.retain_runs),
         requests_per_minute = CASE WHEN p_doc ? 'requestsPerMinute' THEN (p_doc->>'requestsPerMinute')::integer ELSE x.requests_per_minute END,
         tokens_per_minute = CASE WHEN p_doc ? 'tokensPerMinute' THEN (p_doc->>'tokensPerMinute')::bigint ELSE x.tokens_per_minute END
   WHERE x.tenant_id = t.tenant_id RETURNING * INTO t;
  PERFORM tb.admin_noted(0, p_audit, p_by, CASE p_doc->>'status' WHEN 'suspended' THEN 'tenant.suspend' WHEN 'active' THEN 'tenant.resume'
    ELSE 'tenant.change' END, t.slug, p_doc - 'tenant');
  PERFORM tb.admin_noted(t.tenant_id, NULL, p_by, 'tenant.change', t.slug, p_doc - 'tenant');
  outcome := 'done'; version := t.version; body := tb.tenant_json(t)::text;
END $$;

-- Nobody of it is heard any more; its rows go by `terabitsctl tenant purge`.
CREATE FUNCTION tb.tenant_end(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret); t tb.tenants;
BEGIN
  SELECT * INTO t FROM tb.tenants x WHERE x.tenant_id = tb.tenant_named(p_doc->>'tenant') AND x.status <> 'deleting' FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := t.version;
  IF p_expect <> t.version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.tenants x SET status = 'deleting', version = x.version + 1 WHERE x.tenant_id = t.tenant_id RETURNING * INTO t;
  UPDATE tb.api_tokens k SET revoked_at = now(), version = k.version + 1, previous_sha256 = NULL, previous_until = NULL
   WHERE k.tenant_id = t.tenant_id AND k.revoked_at IS NULL;
  PERFORM tb.admin_noted(0, p_audit, p_by, 'tenant.delete', t.slug, jsonb_build_object('id', t.tenant_id));
  outcome := 'done'; version := t.version; body := tb.tenant_json(t)::text;
END $$;

CREATE FUNCTION tb.tenant_one(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret);
BEGIN
  SELECT t.version, tb.tenant_json(t)::text INTO version, body FROM tb.tenants t WHERE t.tenant_id = tb.tenant_named(p_doc->>'tenant');
  outcome := CASE WHEN FOUND THEN 'done' ELSE 'absent' END;
END $$;

-- {"limit","before"}: by their numbers, the newest first.
CREATE FUNCTION tb.tenant_page(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.platform_token(p_by, p_secret); v_limit integer := (p_doc->>'limit')::integer;
BEGIN
  WITH p AS (
    SELECT t, t.tenant_id, row_number() OVER (ORDER BY t.tenant_id DESC) AS n FROM tb.tenants t
     WHERE t.tenant_id > 0 AND t.tenant_id < coalesce((p_doc->>'before')::bigint, 9223372036854775807)
     ORDER BY t.tenant_id DESC LIMIT v_limit + 1)
  SELECT (jsonb_build_object('tenants', coalesce((SELECT jsonb_agg(tb.tenant_json(p.t) ORDER BY n) FROM p WHERE n <= v_limit), '[]'))
    || coalesce((SELECT jsonb_build_object('next', tenant_id::text) FROM p WHERE n = v_limit AND EXISTS (SELECT FROM p WHERE n > v_limit)), '{}'))::text
    INTO body;
  outcome := 'done';
END $$;

-- ---- who did what
CREATE INDEX audit_log_at ON audit_log (tenant_id, at DESC, audit_id DESC);

-- {"limit","beforeUs","beforeId","sinceUs","actor","action","object"}: the newest first, over a window of rows and no further, as with runs. An action
-- is meant with what stands behind its dot: "token" is all of them.
CREATE FUNCTION tb.audit_page(p_by uuid, p_secret text, p_id uuid, p_doc jsonb, p_sha bytea, p_expect integer, p_audit uuid,
  OUT outcome text, OUT version integer, OUT body text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE c tb.api_tokens := tb.caller_token(p_by, p_secret); v_limit integer := (p_doc->>'limit')::integer;
  v_before timestamptz := coalesce(tb.us_time(p_doc->'beforeUs'), 'infinity'); v_id uuid := coalesce((p_doc->>'beforeId')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_since timestamptz := coalesce(tb.us_time(p_doc->'sinceUs'), '-infinity');
BEGIN
  WITH w AS MATERIALIZED (
    SELECT a, row_number() OVER (ORDER BY a.at DESC, a.audit_id DESC) AS n FROM tb.audit_log a
     WHERE a.tenant_id = c.tenant_id AND (a.at, a.audit_id) < (v_before, v_id) AND a.at >= v_since ORDER BY a.at DESC, a.audit_id DESC LIMIT 2000),
  f AS MATERIALIZED (
    SELECT w.a, w.n, row_number() OVER (ORDER BY w.n) AS m FROM w
     WHERE (p_doc->>'actor' IS NULL OR (w.a).actor = p_doc->>'actor') AND (p_doc->>'object' IS NULL OR (w.a).object = p_doc->>'object')
       AND (p_doc->>'action' IS NULL OR (w.a).action = p_doc->>'action' OR split_part((w.a).action, '.', 1) = p_doc->>'action')
     ORDER BY w.n LIMIT v_limit + 1),
  l AS (SELECT f.a FROM f WHERE f.m = v_limit AND EXISTS (SELECT FROM f WHERE f.m > v_limit)
        UNION ALL SELECT w.a FROM w WHERE w.n = 2000 AND NOT EXISTS (SELECT FROM f WHERE f.m > v_limit))
  SELECT (jsonb_build_object('entries', coalesce((SELECT jsonb_agg(jsonb_build_object('id', (f.a).audit_id, 'at', tb.as_text((f.a).at), 'actor', (f.a).actor,
       'action', (f.a).action, 'object', (f.a).object, 'detail', (f.a).detail) ORDER BY f.m) FROM f WHERE f.m <= v_limit), '[]'))
    || coalesce((SELECT jsonb_build_object('next', (extract(epoch FROM (l.a).at) * 1000000)::bigint || '.' || (l.a).audit_id) FROM l LIMIT 1), '{}'))::text
    INTO body;
  outcome := 'done';
END $$;

-- All rows of a tenant that was deleted, but for those of the log. For the owner alone. How many.
CREATE FUNCTION tb.tenant_purge(p_tenant bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE t text; v_left text[]; v_before integer; v_rows bigint; v_all bigint := 0;
BEGIN
  IF EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.state = 'running') THEN
    RAISE EXCEPTION 'runs of the tenant are under way' USING HINT = 'wait for their end, or cancel them';
  END IF;
  v_left := ARRAY(SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relnamespace = 'tb'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'audit_log');
  WHILE cardinality(v_left) > 0 LOOP                   -- what refers to others goes before them, whatever the order is
    v_before := cardinality(v_left);
    FOREACH t IN ARRAY v_left LOOP
      BEGIN
        EXECUTE format('DELETE FROM tb.%I WHERE tenant_id = $1', t) USING p_tenant;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        v_all := v_all + v_rows;
        v_left := array_remove(v_left, t);
      EXCEPTION WHEN foreign_key_violation THEN NULL;
      END;
    END LOOP;
    IF cardinality(v_left) = v_before THEN
      RAISE EXCEPTION 'rows of % refer to each other', v_left;
    END IF;
  END LOOP;
  RETURN v_all;
END $$;

DROP FUNCTION tb.token_create(uuid, text, uuid, bytea, text[], timestamptz);
DROP FUNCTION tb.token_revoke(uuid, text, uuid);
DROP FUNCTION tb.admin_tenant(uuid, text);

REVOKE ALL ON FUNCTION edge_user, session_user_of, message_search, rate_take, token_runs_note, model_tokens_used, tokens_used, caller_token, platform_token,
  admin_noted, us_time, token_json, token_new, token_mint, token_alter, token_rotate, token_end, token_one, token_page, tenant_json, tenant_own, tenant_named,
  tenant_agent, tenant_new, tenant_token, tenant_alter, tenant_end, tenant_one, tenant_page, audit_page, tenant_purge FROM PUBLIC;
GRANT EXECUTE ON FUNCTION edge_user, session_user_of, message_search, rate_take, token_runs_note, model_tokens_used, tokens_used, tenant_json, token_mint,
  token_alter, token_rotate, token_end, token_one, token_page, tenant_own, tenant_new, tenant_token, tenant_alter, tenant_end, tenant_one, tenant_page,
  audit_page TO tb_edge;
