-- SPDX-License-Identifier: Apache-2.0
-- Usage and budgets: what models cost, what may be used, and how that is reserved before a call and settled after it.

SET LOCAL search_path = tb;

-- ---- terms: budgets and prices change seldom, and most tenants have none of their own. Their version is part of what a claim and a step's
-- commit tell a worker (policy_versions), so a run of a tenant without budgets asks for nothing. The row is the tenant's lock on its budgets, too.
CREATE TABLE money_terms (
  tenant_id bigint PRIMARY KEY REFERENCES tenants,     -- 0: the platform's prices
  version   bigint NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE money_terms ENABLE ROW LEVEL SECURITY;     -- functions alone

CREATE OR REPLACE FUNCTION tb.policy_versions(p_tenant bigint, p_agent uuid, p_session uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT c.version FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant), 0) || '.' ||
         coalesce((SELECT p.version FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent), 0) || '.' ||
         coalesce((SELECT s.policy_version FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session), 0) ||
         coalesce((SELECT '.' || sum(m.version) FROM tb.money_terms m WHERE m.tenant_id IN (p_tenant, 0) HAVING count(*) > 0), '');
END $$;

CREATE FUNCTION tb.money_changed(p_tenant bigint) RETURNS void LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.money_terms AS m (tenant_id, version) VALUES (p_tenant, 1) ON CONFLICT (tenant_id) DO UPDATE SET version = m.version + 1 $$;

-- ---- prices: in place of the build's (worker/llm/prices.tbl). The tenant's before the platform's, then the longest pattern.
CREATE TABLE model_prices (
  tenant_id bigint NOT NULL REFERENCES tenants,        -- 0: the platform's
  provider  text NOT NULL CHECK (provider ~ '^[a-z0-9_-]{1,40}$'),
  model     text NOT NULL CHECK (length(model) BETWEEN 1 AND 200 AND position('*' IN model) IN (0, length(model))),  -- may end in *
  micros_in bigint NOT NULL, micros_out bigint NOT NULL, micros_cached bigint NOT NULL, micros_cache_write bigint NOT NULL, -- per million tokens
  changed_at timestamptz NOT NULL DEFAULT now(),
  CHECK (least(micros_in, micros_out, micros_cached, micros_cache_write) >= 0),
  CHECK (greatest(micros_in, micros_out, micros_cached, micros_cache_write) <= 1000000000000),
  PRIMARY KEY (tenant_id, provider, model)
);
ALTER TABLE model_prices ENABLE ROW LEVEL SECURITY;
CREATE POLICY edge ON model_prices FOR SELECT TO tb_edge USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::bigint
  OR tenant_id = 0 AND nullif(current_setting('app.tenant_id', true), '') IS NOT NULL);
CREATE POLICY worker ON model_prices FOR SELECT TO tb_worker USING (tenant_id IN ((SELECT tb.cap_tenant()), 0) AND (SELECT tb.cap_tenant()) IS NOT NULL);
GRANT SELECT ON model_prices TO tb_edge, tb_worker;

-- All numbers NULL: the row goes. False: there was none to go.
CREATE FUNCTION tb.price_set(p_tenant bigint, p_provider text, p_model text, p_in bigint, p_out bigint, p_cached bigint, p_write bigint,
  p_audit uuid, p_actor text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF p_in IS NULL AND p_out IS NULL THEN
    DELETE FROM tb.model_prices p WHERE p.tenant_id = p_tenant AND p.provider = p_provider AND p.model = p_model;
    IF NOT FOUND THEN
      RETURN false;
    END IF;
  ELSE
    INSERT INTO tb.model_prices (tenant_id, provider, model, micros_in, micros_out, micros_cached, micros_cache_write)
    VALUES (p_tenant, p_provider, p_model, p_in, p_out, coalesce(p_cached, p_in), coalesce(p_write, p_in))
    ON CONFLICT (tenant_id, provider, model) DO UPDATE SET micros_in = excluded.micros_in, micros_out = excluded.micros_out,
       micros_cached = excluded.micros_cached, micros_cache_write = excluded.micros_cache_write, changed_at = now();
  END IF;
  PERFORM tb.money_changed(p_tenant);
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, p_audit, p_actor, CASE WHEN p_in IS NULL THEN 'price.clear' ELSE 'price.set' END, p_provider || '/' || p_model,
          jsonb_build_object('input', p_in, 'output', p_out, 'cached', p_cached, 'cacheWrite', p_write));
  RETURN true;
END $$;
-- Of the edge's tenant.
CREATE FUNCTION tb.price_put(p_provider text, p_model text, p_in bigint, p_out bigint, p_cached bigint, p_write bigint, p_audit uuid, p_actor text)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF coalesce(tb.edge_tenant(), 0) < 1 THEN
    RAISE EXCEPTION 'no tenant' USING ERRCODE = 'TB003';
  END IF;
  RETURN tb.price_set(tb.edge_tenant(), p_provider, p_model, p_in, p_out, p_cached, p_write, p_audit, p_actor);
END $$;

-- ---- budgets. A row counts what was used since period_start; whoever meets one whose period is over begins the next one (UTC), so nobody has to
-- reset it. What is not NULL is a limit. seconds: of model calls.
ALTER TABLE budgets DROP COLUMN reserved_micros;       -- reservations are rows: see budget_holds
ALTER TABLE budgets
  ADD COLUMN limit_calls bigint, ADD COLUMN limit_seconds bigint,
  ADD COLUMN spent_calls bigint NOT NULL DEFAULT 0, ADD COLUMN spent_ms bigint NOT NULL DEFAULT 0,
  ADD CHECK ((scope = 'tenant') = (scope_id = '')),
  ADD CHECK (least(limit_tokens, limit_micros, limit_calls, limit_seconds) > 0);
REVOKE INSERT, UPDATE, DELETE ON budgets FROM tb_edge;
REVOKE UPDATE (limit_micros, limit_tokens) ON budgets FROM tb_edge;

-- What a run has reserved for the model call it is about to make, or, settled, what that call used and no budget has counted yet. A reservation holds
-- while its run is running under that fence: a worker's death, a retry later and the run's end need not release it.
CREATE TABLE budget_holds (
  tenant_id bigint NOT NULL, run_id uuid NOT NULL,
  agent_id  uuid NOT NULL, user_id text, fence bigint NOT NULL,
  settled   boolean NOT NULL DEFAULT false,
  tokens    bigint NOT NULL, micros bigint NOT NULL, calls bigint NOT NULL, ms bigint NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, run_id)
) WITH (fillfactor = 50);
ALTER TABLE budget_holds ENABLE ROW LEVEL SECURITY;
CREATE POLICY edge ON budget_holds FOR SELECT TO tb_edge USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::bigint);
GRANT SELECT ON budget_holds TO tb_edge;

CREATE FUNCTION tb.period_start(p_period text, p_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT CASE WHEN p_period = 'total' THEN '-infinity'::timestamptz ELSE date_trunc(p_period, p_at, 'UTC') END $$;
-- NULL: never.
CREATE FUNCTION tb.period_end(p_period text, p_at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT CASE WHEN p_period <> 'total' THEN
    (date_trunc(p_period, p_at AT TIME ZONE 'UTC') + CASE p_period WHEN 'day' THEN interval '1 day' ELSE interval '1 month' END) AT TIME ZONE 'UTC' END $$;
-- Whether the budget is one of that agent's and user's runs.
CREATE FUNCTION tb.budget_binds(p_scope text, p_id text, p_agent uuid, p_user text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT p_scope = 'tenant' OR p_scope = 'agent' AND p_id = p_agent::text OR p_scope = 'user' AND p_id IS NOT DISTINCT FROM p_user $$;

-- Begins the periods that are due and counts what was settled. The caller has the lock of money_terms. Rows that a commit is at just now are left for
-- the next time: they count as reserved.
CREATE FUNCTION tb.budget_fold(p_tenant bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE h tb.budget_holds;
BEGIN
  UPDATE tb.budgets b SET period_start = tb.period_start(b.period, now()), spent_tokens = 0, spent_micros = 0, spent_calls = 0, spent_ms = 0
   WHERE b.tenant_id = p_tenant AND b.period_start < tb.period_start(b.period, now());
  FOR h IN SELECT x.* FROM tb.budget_holds x
            WHERE x.tenant_id = p_tenant AND (x.settled OR NOT EXISTS (
              SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.run_id = x.run_id AND q.state = 'running' AND q.fence = x.fence))
            FOR UPDATE SKIP LOCKED LOOP
    IF h.settled THEN
      UPDATE tb.budgets b SET spent_tokens = b.spent_tokens + h.tokens, spent_micros = b.spent_micros + h.micros,
             spent_calls = b.spent_calls + h.calls, spent_ms = b.spent_ms + h.ms
       WHERE b.tenant_id = p_tenant AND tb.budget_binds(b.scope, b.scope_id, h.agent_id, h.user_id) AND b.period_start <= h.at;
    END IF;
    DELETE FROM tb.budget_holds x WHERE x.tenant_id = p_tenant AND x.run_id = h.run_id;
  END LOOP;
END $$;

-- Before a model call. p_had_*: what failed attempts of this question used and no commit has told yet. p_out: the longest answer wanted; p_micros_in NULL:
-- its price is not known; p_price_out: micros per million tokens of the answer. Outcomes: `none`: no budget binds this run; `granted`: reserved, for an
-- answer of `answer` tokens at most; `held`: only what other runs have reserved stands in the way, ask again; `exhausted`; `unpriced`: a limit on
-- cost, and no price; `stale`: the run is not this worker's any more. The last columns name the budget that decided.
CREATE FUNCTION tb.budget_reserve(p_cap text, p_tenant bigint, p_run uuid, p_fence bigint, p_had_tokens bigint, p_had_micros bigint,
  p_in bigint, p_out bigint, p_micros_in bigint, p_price_out bigint,
  OUT outcome text, OUT answer bigint, OUT scope text, OUT scope_id text, OUT period text, OUT unit text, OUT most bigint, OUT used bigint,
  OUT others bigint, OUT begins timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_agent uuid; v_user text; b tb.budgets; v_least bigint := least(p_out, 64); v_room bigint; v_pass integer; v_micros bigint;
  h_tokens bigint; h_micros bigint; h_calls bigint;
BEGIN
  SELECT q.agent_id, q.user_id INTO v_agent, v_user FROM tb.agent_run_queue q
   WHERE q.tenant_id = p_tenant AND q.run_id = p_run AND q.state = 'running' AND q.fence = p_fence AND q.cap_sha256 = sha256(convert_to(p_cap, 'UTF8'));
  IF NOT FOUND THEN
    outcome := 'stale'; RETURN;
  END IF;
  PERFORM FROM tb.money_terms m WHERE m.tenant_id = p_tenant FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM tb.budgets x WHERE x.tenant_id = p_tenant AND tb.budget_binds(x.scope, x.scope_id, v_agent, v_user)) THEN
    outcome := 'none'; RETURN;
  END IF;
  PERFORM tb.budget_fold(p_tenant);
  answer := p_out;
  FOR v_pass IN 1 .. 2 LOOP                            -- how long the answer may be by what is used; then whether others leave room for it
    v_micros := p_micros_in + ceil(answer::numeric * p_price_out / 1000000)::bigint;
    FOR b IN SELECT x.* FROM tb.budgets x WHERE x.tenant_id = p_tenant AND tb.budget_binds(x.scope, x.scope_id, v_agent, v_user)
              ORDER BY x.scope, x.scope_id, x.period LOOP
      SELECT coalesce(sum(h.tokens), 0), coalesce(sum(h.micros), 0), coalesce(sum(h.calls), 0) INTO h_tokens, h_micros, h_calls
        FROM tb.budget_holds h WHERE h.tenant_id = p_tenant AND h.run_id <> p_run AND tb.budget_binds(b.scope, b.scope_id, h.agent_id, h.user_id);
      scope := b.scope; scope_id := b.scope_id; period := b.period; begins := tb.period_end(b.period, now());
      IF b.limit_seconds IS NOT NULL AND b.spent_ms >= b.limit_seconds * 1000 THEN
        outcome := 'exhausted'; unit := 'seconds'; most := b.limit_seconds; used := b.spent_ms / 1000; others := 0; RETURN;
      END IF;
      IF b.limit_calls IS NOT NULL AND b.spent_calls + h_calls + 1 > b.limit_calls THEN
        outcome := CASE WHEN b.spent_calls + 1 > b.limit_calls THEN 'exhausted' ELSE 'held' END;
        unit := 'calls'; most := b.limit_calls; used := b.spent_calls; others := h_calls; RETURN;
      END IF;
      IF b.limit_tokens IS NOT NULL THEN
        unit := 'tokens'; most := b.limit_tokens; used := b.spent_tokens + p_had_tokens; others := h_tokens;
        v_room := most - used - p_in;
        IF v_room < v_least THEN
          outcome := 'exhausted'; RETURN;
        ELSIF v_pass = 1 THEN
          answer := least(answer, v_room);
        ELSIF v_room - others < answer THEN
          outcome := 'held'; RETURN;
        END IF;
      END IF;
      IF b.limit_micros IS NOT NULL THEN
        unit := 'micros'; most := b.limit_micros; used := b.spent_micros + p_had_micros; others := h_micros;
        IF p_micros_in IS NULL THEN
          outcome := 'unpriced'; RETURN;
        END IF;
        v_room := most - used - p_micros_in;
        CONTINUE WHEN p_micros_in = 0 AND p_price_out = 0;   -- a free model
        IF v_room < ceil(v_least::numeric * p_price_out / 1000000) THEN
          outcome := 'exhausted'; RETURN;
        ELSIF v_pass = 1 THEN
          IF p_price_out > 0 THEN
            answer := least(answer, (v_room::numeric * 1000000 / p_price_out)::bigint);
          END IF;
        ELSIF most - used - others < v_micros THEN
          outcome := 'held'; RETURN;
        END IF;
      END IF;
    END LOOP;
  END LOOP;
  INSERT INTO tb.budget_holds AS h (tenant_id, run_id, agent_id, user_id, fence, tokens, micros, calls, ms)
  VALUES (p_tenant, p_run, v_agent, v_user, p_fence, p_had_tokens + p_in + answer, p_had_micros + coalesce(v_micros, 0), 1, 0)
  ON CONFLICT (tenant_id, run_id) DO UPDATE SET fence = excluded.fence, settled = false, tokens = excluded.tokens, micros = excluded.micros,
     calls = excluded.calls, ms = 0, at = now();
  outcome := 'granted';
END $$;

-- With the commit that tells what was used: {"tokens":n,"micros":n,"calls":n,"ms":n}. It touches the run's own row and no budget, so commits of one
-- tenant do not wait for each other.
CREATE FUNCTION tb.act_settle(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  INSERT INTO tb.budget_holds AS h (tenant_id, run_id, agent_id, user_id, fence, settled, tokens, micros, calls, ms)
  SELECT q.tenant_id, q.run_id, q.agent_id, q.user_id, q.fence, true, (p_data->>'tokens')::bigint, (p_data->>'micros')::bigint,
         (p_data->>'calls')::bigint, (p_data->>'ms')::bigint
    FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.run_id = p_run
  ON CONFLICT (tenant_id, run_id) DO UPDATE SET settled = true, at = now(),
     tokens = excluded.tokens + CASE WHEN h.settled THEN h.tokens ELSE 0 END, micros = excluded.micros + CASE WHEN h.settled THEN h.micros ELSE 0 END,
     calls = excluded.calls + CASE WHEN h.settled THEN h.calls ELSE 0 END, ms = excluded.ms + CASE WHEN h.settled THEN h.ms ELSE 0 END;
  RETURN NULL;
END $$;

-- One budget; all limits NULL: it goes. A new one begins with what the ledger says of its period. `absent`: there is no such agent, or budget to go.
CREATE FUNCTION tb.budget_set(p_tenant bigint, p_scope text, p_id text, p_period text, p_tokens bigint, p_micros bigint, p_calls bigint, p_seconds bigint,
  p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_start timestamptz := tb.period_start(p_period, now()); v_goes boolean := coalesce(p_tokens, p_micros, p_calls, p_seconds) IS NULL;
BEGIN
  PERFORM tb.money_changed(p_tenant);                  -- the lock
  IF p_scope = 'agent' AND NOT v_goes AND NOT EXISTS (
      SELECT FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.agent_id::text = p_id AND a.deleted_at IS NULL) THEN
    RETURN 'absent';
  END IF;
  IF v_goes THEN
    DELETE FROM tb.budgets b WHERE b.tenant_id = p_tenant AND b.scope = p_scope AND b.scope_id = p_id AND b.period = p_period;
    IF NOT FOUND THEN
      RETURN 'absent';
    END IF;
  ELSE
    PERFORM tb.budget_fold(p_tenant);                  -- so that nothing is counted twice: what is settled stands in the ledger
    UPDATE tb.budgets b SET limit_tokens = p_tokens, limit_micros = p_micros, limit_calls = p_calls, limit_seconds = p_seconds
     WHERE b.tenant_id = p_tenant AND b.scope = p_scope AND b.scope_id = p_id AND b.period = p_period;
    IF NOT FOUND THEN
      INSERT INTO tb.budgets (tenant_id, scope, scope_id, period, limit_tokens, limit_micros, limit_calls, limit_seconds, period_start,
             spent_tokens, spent_micros, spent_calls, spent_ms)
      SELECT p_tenant, p_scope, p_id, p_period, p_tokens, p_micros, p_calls, p_seconds, v_start, coalesce(sum(u.tokens_in + u.tokens_out), 0),
             coalesce(sum(u.cost_micros), 0), count(*), coalesce(sum(u.duration_ms), 0)
        FROM tb.usage_ledger u WHERE u.tenant_id = p_tenant AND u.at >= v_start AND tb.budget_binds(p_scope, p_id, u.agent_id, u.user_id);
    END IF;
  END IF;
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, p_audit, p_actor, CASE WHEN v_goes THEN 'budget.clear' ELSE 'budget.set' END, p_scope || ':' || p_id,
          jsonb_build_object('period', p_period, 'tokens', p_tokens, 'costMicros', p_micros, 'calls', p_calls, 'seconds', p_seconds));
  RETURN 'done';
END $$;
CREATE FUNCTION tb.budget_put(p_scope text, p_id text, p_period text, p_tokens bigint, p_micros bigint, p_calls bigint, p_seconds bigint,
  p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF coalesce(tb.edge_tenant(), 0) < 1 THEN
    RAISE EXCEPTION 'no tenant' USING ERRCODE = 'TB003';
  END IF;
  RETURN tb.budget_set(tb.edge_tenant(), p_scope, p_id, p_period, p_tokens, p_micros, p_calls, p_seconds, p_audit, p_actor);
END $$;

-- ---- reports, as JSON. Rights are the caller's.

-- All budgets of a tenant, or those of one scope, of one object.
CREATE FUNCTION tb.budget_report(p_tenant bigint, p_scope text, p_id text) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('scope', b.scope, 'id', nullif(b.scope_id, ''),
           'agent', (SELECT a.name FROM tb.agents a WHERE a.tenant_id = p_tenant AND b.scope = 'agent' AND a.agent_id::text = b.scope_id),
           'period', b.period, 'tokens', b.limit_tokens, 'costMicros', b.limit_micros, 'calls', b.limit_calls, 'seconds', b.limit_seconds,
           'used', jsonb_build_object('tokens', c.tokens + coalesce(h.tokens, 0), 'costMicros', c.micros + coalesce(h.micros, 0),
                                      'calls', c.calls + coalesce(h.calls, 0), 'seconds', (c.ms + coalesce(h.ms, 0)) / 1000),
           'reserved', jsonb_build_object('tokens', coalesce(h.r_tokens, 0), 'costMicros', coalesce(h.r_micros, 0), 'calls', coalesce(h.r_calls, 0)),
           'beginsAnewAt', tb.as_text(tb.period_end(b.period, now())))) ORDER BY b.scope DESC, b.scope_id, b.period), '[]')
    FROM tb.budgets b
   CROSS JOIN LATERAL (SELECT b.spent_tokens * k AS tokens, b.spent_micros * k AS micros, b.spent_calls * k AS calls, b.spent_ms * k AS ms
           FROM (SELECT CASE WHEN b.period_start < tb.period_start(b.period, now()) THEN 0 ELSE 1 END AS k) x) c
    LEFT JOIN LATERAL (
      SELECT sum(x.tokens) FILTER (WHERE x.settled) AS tokens, sum(x.micros) FILTER (WHERE x.settled) AS micros,
             sum(x.calls) FILTER (WHERE x.settled) AS calls, sum(x.ms) FILTER (WHERE x.settled) AS ms,
             sum(x.tokens) FILTER (WHERE NOT x.settled) AS r_tokens, sum(x.micros) FILTER (WHERE NOT x.settled) AS r_micros,
             sum(x.calls) FILTER (WHERE NOT x.settled) AS r_calls
        FROM tb.budget_holds x
       WHERE x.tenant_id = p_tenant AND tb.budget_binds(b.scope, b.scope_id, x.agent_id, x.user_id)
         AND CASE WHEN x.settled THEN x.at >= tb.period_start(b.period, now()) ELSE EXISTS (
           SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.run_id = x.run_id AND q.state = 'running' AND q.fence = x.fence) END) h ON true
   WHERE b.tenant_id = p_tenant AND (p_scope IS NULL OR b.scope = p_scope AND b.scope_id = p_id) $$;

CREATE FUNCTION tb.price_report(p_tenant bigint) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('of', CASE p.tenant_id WHEN 0 THEN 'platform' ELSE 'tenant' END, 'provider', p.provider, 'model', p.model,
           'input', p.micros_in, 'output', p.micros_out, 'cached', p.micros_cached, 'cacheWrite', p.micros_cache_write,
           'changedAt', tb.as_text(p.changed_at)) ORDER BY p.tenant_id DESC, p.provider, p.model), '[]')
    FROM tb.model_prices p WHERE p.tenant_id IN (p_tenant, 0) $$;

-- What was used from p_from to p_to (exclusive), by p_by: day (UTC), agent, session, model, run or user. Groups in the order of their keys behind
-- p_after, p_limit at most; `next` is the last one's when there are more. The total is of the whole time. costMicros is the sum of what is known, NULL
-- when nothing is; unpricedCalls are those whose price is not.
CREATE FUNCTION tb.usage_report(p_tenant bigint, p_from timestamptz, p_to timestamptz, p_by text, p_agent uuid, p_after text, p_limit integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_key text; v_sums text; v_out jsonb;
BEGIN
  v_key := CASE p_by WHEN 'day' THEN $k$to_char(u.at AT TIME ZONE 'UTC', 'YYYY-MM-DD') COLLATE "C"$k$ WHEN 'agent' THEN 'u.agent_id'
                     WHEN 'session' THEN 'u.session_id' WHEN 'model' THEN $k$(u.provider || '/' || u.model) COLLATE "C"$k$
                     WHEN 'run' THEN 'u.run_id' WHEN 'user' THEN $k$coalesce(u.user_id, '') COLLATE "C"$k$ END;
  IF v_key IS NULL THEN
    RAISE EXCEPTION 'usage is not grouped by %', p_by USING ERRCODE = '22023';
  END IF;
  v_sums := $s$jsonb_build_object('inputTokens', coalesce(%1$s(t_in), 0), 'outputTokens', coalesce(%1$s(t_out), 0), 'cachedTokens', coalesce(%1$s(t_cached), 0),
     'cacheWriteTokens', coalesce(%1$s(t_write), 0), 'reasoningTokens', coalesce(%1$s(t_reasoning), 0), 'costMicros', %1$s(cost),
     'calls', coalesce(%1$s(calls), 0), 'unpricedCalls', coalesce(%1$s(unpriced), 0), 'durationMs', coalesce(%1$s(ms), 0))$s$;
  EXECUTE format($q$
    WITH g AS MATERIALIZED (
      SELECT %1$s AS key, sum(u.tokens_in) AS t_in, sum(u.tokens_out) AS t_out, sum(u.tokens_cached) AS t_cached,
             sum(u.tokens_cache_write) AS t_write, sum(u.tokens_reasoning) AS t_reasoning, sum(u.cost_micros) AS cost, count(*) AS calls,
             count(*) - count(u.cost_micros) AS unpriced, coalesce(sum(u.duration_ms), 0) AS ms
        FROM tb.usage_ledger u WHERE u.tenant_id = $1 AND u.at >= $2 AND u.at < $3 AND ($4::uuid IS NULL OR u.agent_id = $4) GROUP BY 1),
    p AS (SELECT g.*, row_number() OVER (ORDER BY key) AS n FROM g WHERE $5::text IS NULL OR key > $5::%2$s ORDER BY key LIMIT $6 + 1)
    SELECT jsonb_build_object(
      'groups', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('key', key,
          'agent', CASE WHEN $7 = 'agent' THEN (SELECT a.name FROM tb.agents a WHERE a.tenant_id = $1 AND a.agent_id::text = key::text) END,
          'sessionKey', CASE WHEN $7 = 'session' THEN (SELECT s.session_key FROM tb.agent_sessions s WHERE s.tenant_id = $1 AND s.session_id = key::text::uuid) END))
          || %3$s ORDER BY key), '[]') FROM p WHERE n <= $6),
      'total', (SELECT %4$s FROM g),
      'next', (SELECT key FROM p WHERE n = $6 AND EXISTS (SELECT FROM p WHERE n > $6)))$q$, v_key,
    CASE WHEN p_by IN ('agent', 'session', 'run') THEN 'uuid' ELSE 'text' END, format(v_sums, ''), format(v_sums, 'sum'))
    INTO v_out USING p_tenant, p_from, p_to, p_agent, p_after, p_limit, p_by;
  RETURN v_out || jsonb_build_object('from', tb.as_text(p_from), 'to', tb.as_text(p_to), 'groupBy', p_by);
END $$;

REVOKE ALL ON FUNCTION policy_versions, money_changed, price_set, price_put, period_start, period_end, budget_binds, budget_fold, budget_reserve, act_settle, budget_set,
  budget_put, budget_report, price_report, usage_report FROM PUBLIC;
GRANT EXECUTE ON FUNCTION budget_reserve, price_report, as_text TO tb_worker;
GRANT EXECUTE ON FUNCTION price_put, budget_put, budget_report, price_report, usage_report, period_start, period_end, budget_binds TO tb_edge;
