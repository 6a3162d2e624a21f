-- SPDX-License-Identifier: Apache-2.0
-- Tools of the client: calls that a session's turn leaves open, for the next message to answer.

SET LOCAL search_path = tb;

-- What an edited message says of its client's tools, and the results that it brings, stand as they were: another text is meant.
CREATE OR REPLACE FUNCTION tb.branch(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_content jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE m tb.session_messages; v_kept jsonb;
BEGIN
  SELECT x.* INTO m FROM tb.session_messages x JOIN tb.agent_sessions s ON s.tenant_id = x.tenant_id AND s.session_id = x.session_id
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.role = 'user' AND x.seq >= s.context_floor_seq
   ORDER BY x.seq DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the session has no message of a user that could be answered again: none was written, or a reset or compaction hides it'
      USING ERRCODE = '22023';
  END IF;
  SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') INTO v_kept FROM jsonb_each(m.content) e
   WHERE e.key IN ('clientTools', 'toolChoice', 'toolResults');
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content, tokens)
  VALUES (p_tenant, p_session, p_head + 1, p_run, 'reset', jsonb_build_object('blocks', '[]'::jsonb, 'branchFrom', m.seq), NULL),
         (p_tenant, p_session, p_head + 2, p_run, 'user', coalesce(v_kept || p_content, m.content), CASE WHEN p_content IS NULL THEN m.tokens END);
  UPDATE tb.agent_run_queue q SET kind = 'turn', mode = 'followup', input_seq = p_head + 2
   WHERE q.tenant_id = p_tenant AND q.run_id = p_run;
  DELETE FROM tb.run_inputs i WHERE i.tenant_id = p_tenant AND i.run_id = p_run;
  RETURN p_head + 2;
END $$;

-- Calls of the client may be open at the end of a copy, as they are at the end of what it is a copy of.
CREATE OR REPLACE FUNCTION tb.act_fork(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v jsonb := tb.job_input(p_tenant, p_run); v_to bigint := coalesce((v->>'upToSeq')::bigint, p_head); v_new uuid := v->>'sessionId';
  v_reset bigint; v_floor bigint; v_summary bigint := 0; c tb.agent_context_snapshots;
BEGIN
  IF v_to > p_head THEN
    RAISE EXCEPTION 'upToSeq is %, but the transcript ends at %', v_to, p_head USING ERRCODE = '22023';
  END IF;
  IF EXISTS (SELECT FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.seq = v_to + 1
                AND m.role = 'tool')
     OR EXISTS (SELECT FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.seq = v_to
                AND m.role = 'assistant' AND jsonb_path_exists(m.content, '$.blocks[*] ? (@.type == "tool_call" && !(@.clientSide == true))')) THEN
    RAISE EXCEPTION 'upToSeq % stands between tool calls and their results: copy up to before or behind them', v_to USING ERRCODE = '22023';
  END IF;
  SELECT * INTO c FROM tb.agent_context_snapshots x
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.head_seq <= v_to ORDER BY x.version DESC LIMIT 1;
  v_reset := tb.context_reset(p_tenant, p_session, v_to);
  v_floor := greatest(coalesce(c.to_seq + 1, 0), v_reset);
  IF c.summary_seq > v_reset THEN
    v_summary := c.summary_seq;
  END IF;
  INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot, mode, queue_mode, policy, policy_version,
         parent_session_id, depth, user_id, title, meta, context_floor_seq, context_summary_seq, context_set_seq, context_flushed_seq)
  SELECT s.tenant_id, v_new, s.agent_id, v->>'sessionKey', (v->>'slot')::smallint, s.mode, s.queue_mode, s.policy, s.policy_version,
         s.parent_session_id, s.depth, s.user_id, s.title,
         s.meta || jsonb_build_object('forkedFrom', jsonb_build_object('sessionId', s.session_id, 'seq', v_to)), v_floor, v_summary,
         coalesce(c.head_seq, 0), least(s.context_flushed_seq, v_to)
    FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session
  ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the agent has a session of the key % already', v->>'sessionKey' USING ERRCODE = '22023';
  END IF;
  INSERT INTO tb.lanes (tenant_id, session_id, head_seq) VALUES (p_tenant, v_new, v_to);
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, created_at, run_id, step, role, content, tokens)
  SELECT m.tenant_id, v_new, m.seq, m.created_at, m.run_id, m.step, m.role, m.content, m.tokens FROM tb.session_messages m
   WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.seq <= v_to;
  INSERT INTO tb.agent_context_snapshots (tenant_id, session_id, version, from_seq, to_seq, summary_seq, tokens_before, tokens_after, run_id,
         created_at, why, restored, head_seq)
  SELECT x.tenant_id, v_new, x.version, x.from_seq, x.to_seq, x.summary_seq, x.tokens_before, x.tokens_after, x.run_id, x.created_at, x.why,
         x.restored, x.head_seq
    FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.version <= c.version;
  RETURN NULL;
END $$;

-- Tools of the client are not shown again, and may be longer than all the rest.
CREATE OR REPLACE FUNCTION tb.history_start(p_tenant bigint, p_session uuid, p_own bigint, p_bytes bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE m record; v_start bigint; v_bytes bigint := 0; v_floor bigint;
BEGIN
  SELECT s.context_floor_seq INTO v_floor FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  FOR m IN SELECT x.seq, x.content FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session
            AND x.seq >= v_floor ORDER BY x.seq DESC LIMIT 5000 LOOP
    v_bytes := v_bytes + octet_length((m.content - 'clientTools')::text);
    EXIT WHEN v_bytes > p_bytes AND m.seq < p_own AND v_start IS NOT NULL;
    v_start := m.seq;
  END LOOP;
  RETURN v_start;
END $$;
REVOKE ALL ON FUNCTION branch, act_fork, history_start FROM PUBLIC;
GRANT EXECUTE ON FUNCTION history_start TO tb_worker;

-- ------------------------------------------------------------------ embeddings
-- A question to a worker (tb.inquiries) that is no run's: the ledger has it under its own id, with neither agent nor session (both nil).
ALTER TABLE inquiries DROP CONSTRAINT inquiries_kind_check, ADD CONSTRAINT inquiries_kind_check CHECK (kind IN ('key', 'request', 'embed'));

-- The keys of that provider that may be used, in the order in which a run is given them.
CREATE FUNCTION tb.embed_keys(p_cap text, p_provider text)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, api_version text, bearer boolean, revision integer, master_id bytea, sealed bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT k.tenant_id, k.key_id, k.provider, k.base_url, k.api_version, k.bearer, k.revision, k.master_id, k.sealed
    FROM tb.inquiry_of(p_cap, 'embed') i JOIN tb.provider_keys k ON k.tenant_id IN (i.tenant_id, 0)
   WHERE k.provider = p_provider AND k.disabled_at IS NULL ORDER BY k.tenant_id = 0, k.priority, k.created_at, k.key_id LIMIT 200 $$;

-- Prices of its own, NULL: none; and whether a budget may bind it. No row: there is no such question any more.
CREATE FUNCTION tb.embed_terms(p_cap text, OUT prices text, OUT budgeted boolean) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT nullif(tb.price_report(i.tenant_id), '[]')::text,
         EXISTS (SELECT FROM tb.budgets b WHERE b.tenant_id = i.tenant_id AND b.scope <> 'agent')
    FROM tb.inquiry_of(p_cap, 'embed') i WHERE i.tenant_id IS NOT NULL $$;

-- Before the provider is asked: what it may cost at most is counted as used; the settlement corrects it. Outcomes: `granted`, or `exhausted`,
-- `unpriced` with the budget that said so, or `stale`. p_micros NULL: its price is not known.
CREATE FUNCTION tb.embed_reserve(p_cap text, p_user text, p_tokens bigint, p_micros bigint,
  OUT outcome text, OUT scope text, OUT scope_id text, OUT period text, OUT unit text, OUT most bigint, OUT used bigint, OUT begins timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  i tb.inquiries := tb.inquiry_of(p_cap, 'embed'); b tb.budgets; nil constant uuid := '00000000-0000-0000-0000-000000000000';
  h_tokens bigint; h_micros bigint; h_calls bigint;
BEGIN
  IF i.tenant_id IS NULL THEN
    outcome := 'stale'; RETURN;
  END IF;
  PERFORM FROM tb.money_terms m WHERE m.tenant_id = i.tenant_id FOR NO KEY UPDATE;
  PERFORM tb.budget_fold(i.tenant_id);
  FOR b IN SELECT x.* FROM tb.budgets x WHERE x.tenant_id = i.tenant_id AND tb.budget_binds(x.scope, x.scope_id, nil, p_user)
            ORDER BY x.scope, x.scope_id, x.period LOOP
    SELECT coalesce(sum(h.tokens), 0), coalesce(sum(h.micros), 0), coalesce(sum(h.calls), 0) INTO h_tokens, h_micros, h_calls
      FROM tb.budget_holds h WHERE h.tenant_id = i.tenant_id AND tb.budget_binds(b.scope, b.scope_id, h.agent_id, h.user_id);
    scope := b.scope; scope_id := b.scope_id; period := b.period; begins := tb.period_end(b.period, now()); outcome := 'exhausted';
    IF b.spent_ms >= b.limit_seconds * 1000 THEN
      unit := 'seconds'; most := b.limit_seconds; used := b.spent_ms / 1000; RETURN;
    ELSIF b.spent_calls + h_calls + 1 > b.limit_calls THEN
      unit := 'calls'; most := b.limit_calls; used := b.spent_calls + h_calls; RETURN;
    ELSIF b.spent_tokens + h_tokens + p_tokens > b.limit_tokens THEN
      unit := 'tokens'; most := b.limit_tokens; used := b.spent_tokens + h_tokens; RETURN;
    ELSIF b.limit_micros IS NOT NULL AND p_micros IS NULL THEN
      outcome := 'unpriced'; unit := 'micros'; most := b.limit_micros; used := b.spent_micros + h_micros; RETURN;
    ELSIF b.spent_micros + h_micros + p_micros > b.limit_micros THEN
      unit := 'micros'; most := b.limit_micros; used := b.spent_micros + h_micros; RETURN;
    END IF;
  END LOOP;
  outcome := 'granted';
  INSERT INTO tb.budget_holds (tenant_id, run_id, agent_id, user_id, fence, settled, tokens, micros, calls, ms)
  VALUES (i.tenant_id, i.object, nil, p_user, 0, true, p_tokens, coalesce(p_micros, 0), 1, 0) ON CONFLICT DO NOTHING;
END $$;

-- What it used: the ledger's row, unless it used nothing. p_had_tokens NULL: nothing was reserved.
CREATE FUNCTION tb.embed_settle(p_cap text, p_user text, p_provider text, p_model text, p_calls integer, p_tokens bigint, p_micros bigint, p_ms integer,
  p_had_tokens bigint, p_had_micros bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE i tb.inquiries := tb.inquiry_of(p_cap, 'embed'); nil constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  IF i.tenant_id IS NULL THEN
    RETURN;
  END IF;
  IF p_calls > 0 THEN
    INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, user_id, provider, model, tokens_in, tokens_out, cost_micros,
           duration_ms)
    VALUES (i.tenant_id, i.object, 1, 0, nil, nil, p_user, p_provider, p_model, p_tokens, 0, p_micros, p_ms) ON CONFLICT DO NOTHING;
  END IF;
  IF p_had_tokens IS NOT NULL THEN
    INSERT INTO tb.budget_holds AS h (tenant_id, run_id, agent_id, user_id, fence, settled, tokens, micros, calls, ms)
    VALUES (i.tenant_id, i.object, nil, p_user, 0, true, p_tokens - p_had_tokens, coalesce(p_micros, 0) - coalesce(p_had_micros, 0),
            CASE WHEN p_calls > 0 THEN 0 ELSE -1 END, p_ms)
    ON CONFLICT (tenant_id, run_id) DO UPDATE SET settled = true, at = now(), tokens = h.tokens + excluded.tokens, micros = h.micros + excluded.micros,
       calls = h.calls + excluded.calls, ms = h.ms + excluded.ms;
  END IF;
END $$;

REVOKE ALL ON FUNCTION embed_keys, embed_terms, embed_reserve, embed_settle FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embed_keys, embed_terms, embed_reserve, embed_settle TO tb_worker;
