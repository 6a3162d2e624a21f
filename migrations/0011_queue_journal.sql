-- SPDX-License-Identifier: Apache-2.0
-- The journal with takes and retries, and what people and clocks do to the queue: cancel, expire, redrive, pause; sessions in batches.

SET LOCAL search_path = tb;

-- One line of the message that several folded ones become.
CREATE FUNCTION tb.bullet(p_body jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT E'\n- ' || coalesce(left(regexp_replace(string_agg(b.text #>> '{}', ' ' ORDER BY b.n), '[\r\n]+', ' ', 'g'), 2000), '')
    FROM jsonb_path_query(p_body, '$.blocks[*] ? (@.type == "text").text') WITH ORDINALITY b(text, n) $$;

-- T4, under the lane's lock: what waits in the lane becomes messages after p_head. p_take: 1 steers and announcements that are due,
-- 2 collects, 4 folded runs, which become one message before the others. taken is NULL when nothing waited.
CREATE FUNCTION tb.take_waiting(p_tenant bigint, p_session uuid, p_run uuid, p_take smallint, p_head bigint,
  OUT head bigint, OUT taken jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE q tb.agent_run_queue; v_first uuid; v_body jsonb; v_text text; v_list jsonb := '[]';
BEGIN
  head := p_head;
  IF p_take & 4 <> 0 THEN
    v_text := 'Messages that arrived while this session''s queue was full:';
    FOR q IN SELECT * FROM tb.agent_run_queue x
              WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.folded AND x.attempt = 0 ORDER BY x.lane_pos LOOP
      IF v_first IS NULL THEN head := head + 1; v_first := q.run_id; END IF;
      v_text := v_text || tb.bullet(tb.archive_waiting(q, 'superseded', p_run, NULL, NULL, head));
      v_list := v_list || jsonb_build_object('run', q.run_id, 'seq', head, 'body', NULL);
    END LOOP;
    IF v_first IS NOT NULL THEN
      v_body := jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text', 'text', v_text)));
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
      VALUES (p_tenant, p_session, head, v_first, 'user', v_body);
      v_list := jsonb_set(v_list, '{0,body}', v_body);
    END IF;
  END IF;
  FOR q IN SELECT * FROM tb.agent_run_queue x
            WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND NOT x.folded AND x.attempt = 0
              AND (p_take & 1 <> 0 AND x.mode IN ('steer', 'announce') AND x.run_at <= now()
                OR p_take & 2 <> 0 AND x.mode = 'collect') ORDER BY x.lane_pos LOOP
    head := head + 1;
    v_body := coalesce(tb.archive_waiting(q, 'superseded', p_run, NULL, NULL, head), '{"blocks":[]}');
    INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
    VALUES (p_tenant, p_session, head, q.run_id, 'user', v_body);
    v_list := v_list || jsonb_build_object('run', q.run_id, 'seq', head, 'body', v_body);
  END LOOP;
  IF head > p_head THEN taken := v_list; END IF;
END $$;

DROP FUNCTION tb.journal;

-- T2, T3, T4, T5 and the retry. Seven groups of arrays; *_item are 1-based positions of items. Authority: the lane's (fence, commit_no) and the queue
-- row's fence and capability. Everything after the first statement asks v_head, which is NULL for an item that is stale.
-- Takes, cleared crashes, retries and deaths are rare: each is looked at only when an item asks for it.
CREATE FUNCTION tb.journal(
  i_tenant bigint[], i_run uuid[], i_session uuid[], i_fence bigint[], i_commit bigint[], i_cap text[],
  m_item integer[], m_step smallint[], m_role text[], m_content jsonb[], m_tokens integer[],
  t_item integer[], t_step smallint[], t_call smallint[], t_call_id text[], t_tool text[], t_effect text[], t_state text[],
  t_attempt smallint[], t_input jsonb[], t_output jsonb[], t_error text[],
  e_item integer[], e_seq integer[], e_type text[], e_at timestamptz[], e_body jsonb[],
  u_item integer[], u_step smallint[], u_call smallint[], u_provider text[], u_model text[], u_in bigint[], u_out bigint[],
  u_cached bigint[],
  f_item integer[], f_result text[], f_error_code text[], f_error text[], f_steps smallint[], f_tool_calls smallint[],
  f_tokens_in bigint[], f_tokens_out bigint[],
  i_take smallint[], i_clear boolean[],
  r_item integer[], r_pause_us bigint[], r_code text[], r_error text[], r_active_ms integer[])
RETURNS TABLE (n integer, outcome text, head_seq bigint, commit_no bigint, at timestamptz, taken jsonb, policy text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_head bigint[]; v_commit bigint[]; v_agent uuid[]; v_user text[]; one boolean := cardinality(i_run) = 1;
  a_head bigint; a_commit bigint; an_agent uuid; a_user text; q tb.agent_run_queue; k integer;
  v_taken jsonb[]; a_taken jsonb; any_job boolean; v_policy text[];
BEGIN
  IF cardinality(r_item) > 0 AND r_item && f_item THEN
    RAISE EXCEPTION 'an item has an end or a retry, not both' USING ERRCODE = '22023';
  END IF;
  IF one THEN                                        -- what a node mostly sees: plain statements, half the cost
    UPDATE tb.lanes l SET head_seq = l.head_seq + cardinality(m_item), commit_no = l.commit_no + 1
      FROM tb.agent_run_queue x
     WHERE l.tenant_id = i_tenant[1] AND l.session_id = i_session[1] AND l.fence = i_fence[1] AND l.commit_no = i_commit[1]
       AND x.tenant_id = i_tenant[1] AND x.run_id = i_run[1] AND x.session_id = i_session[1] AND x.state = 'running'
       AND x.fence = i_fence[1] AND x.cap_sha256 = sha256(convert_to(i_cap[1], 'UTF8')) AND 1 = ALL (m_item)
    RETURNING l.head_seq, l.commit_no, x.agent_id, x.user_id INTO a_head, a_commit, an_agent, a_user;
    v_head := ARRAY[a_head]; v_commit := ARRAY[a_commit]; v_agent := ARRAY[an_agent]; v_user := ARRAY[a_user];
  ELSE
  WITH item AS MATERIALIZED (
    SELECT u.*, (SELECT count(*) FROM unnest(m_item) x WHERE x = u.n) AS msgs
      FROM unnest(i_tenant, i_run, i_session, i_fence, i_commit, i_cap) WITH ORDINALITY u(t, r, s, f, c, cap, n) ORDER BY u.t, u.s),
  good AS (
    UPDATE tb.lanes l SET head_seq = l.head_seq + i.msgs, commit_no = l.commit_no + 1
      FROM item i JOIN tb.agent_run_queue q ON q.tenant_id = i.t AND q.run_id = i.r AND q.session_id = i.s
           AND q.state = 'running' AND q.fence = i.f AND q.cap_sha256 = sha256(convert_to(i.cap, 'UTF8'))
     WHERE l.tenant_id = i.t AND l.session_id = i.s AND l.fence = i.f AND l.commit_no = i.c
    RETURNING i.n, l.head_seq, l.commit_no, q.agent_id, q.user_id)
  SELECT array_agg(g.head_seq ORDER BY i.n), array_agg(g.commit_no ORDER BY i.n), array_agg(g.agent_id ORDER BY i.n),
         array_agg(g.user_id ORDER BY i.n)
    INTO v_head, v_commit, v_agent, v_user FROM item i LEFT JOIN good g ON g.n = i.n;
  END IF;
  IF one AND a_head IS NOT NULL THEN
    FOR k IN 1 .. cardinality(m_item) LOOP
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, step, role, content, tokens)
      VALUES (i_tenant[1], i_session[1], a_head - cardinality(m_item) + k, i_run[1], m_step[k], m_role[k], m_content[k], m_tokens[k]);
    END LOOP;
  ELSIF cardinality(m_item) > 0 THEN
    INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, step, role, content, tokens)
    SELECT i_tenant[u.i], i_session[u.i], v_head[u.i] + 1 - row_number() OVER (PARTITION BY u.i ORDER BY u.n DESC),
           i_run[u.i], u.step, u.role, u.content, u.tokens
      FROM unnest(m_item, m_step, m_role, m_content, m_tokens) WITH ORDINALITY u(i, step, role, content, tokens, n)
     WHERE v_head[u.i] IS NOT NULL;
  END IF;
  IF cardinality(t_item) > 0 THEN
    INSERT INTO tb.tool_executions AS x (tenant_id, run_id, step, call_no, call_id, session_id, tool, effect, idem_key, state,
           attempt, input, output, error, fence, started_at, finished_at)
    SELECT i_tenant[u.i], i_run[u.i], u.step, u.call, u.call_id, i_session[u.i], u.tool, u.effect,
           i_run[u.i] || ':' || u.step || ':' || u.call, u.state::tb.tool_state, u.attempt, u.input, u.output, u.error,
           i_fence[u.i], CASE WHEN u.state <> 'pending' THEN now() END,
           CASE WHEN u.state NOT IN ('pending', 'running') THEN now() END
      FROM unnest(t_item, t_step, t_call, t_call_id, t_tool, t_effect, t_state, t_attempt, t_input, t_output, t_error)
           u(i, step, call, call_id, tool, effect, state, attempt, input, output, error)
     WHERE v_head[u.i] IS NOT NULL
    ON CONFLICT (tenant_id, run_id, step, call_no) DO UPDATE
       SET state = excluded.state, attempt = excluded.attempt, output = excluded.output, error = excluded.error,
           fence = excluded.fence, started_at = coalesce(x.started_at, excluded.started_at),
           finished_at = excluded.finished_at;
  END IF;
  IF cardinality(e_item) > 0 THEN
    INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, at, type, body)
    SELECT i_tenant[u.i], i_run[u.i], u.seq, u.at, u.type, u.body
      FROM unnest(e_item, e_seq, e_type, e_at, e_body) u(i, seq, type, at, body) WHERE v_head[u.i] IS NOT NULL;
  END IF;
  IF one AND a_head IS NOT NULL THEN
    FOR k IN 1 .. cardinality(u_item) LOOP
      INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, user_id, provider, model, tokens_in,
             tokens_out, tokens_cached)
      SELECT i_tenant[1], i_run[1], u_step[k], u_call[k], an_agent, i_session[1], a_user, u_provider[k], u_model[k], u_in[k],
             u_out[k], u_cached[k] WHERE u_item[k] = 1;
    END LOOP;
  ELSIF cardinality(u_item) > 0 THEN
    INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, user_id, provider, model, tokens_in,
           tokens_out, tokens_cached)
    SELECT i_tenant[u.i], i_run[u.i], u.step, u.call, v_agent[u.i], i_session[u.i], v_user[u.i], u.provider, u.model,
           u.tin, u.tout, u.cached
      FROM unnest(u_item, u_step, u_call, u_provider, u_model, u_in, u_out, u_cached)
           u(i, step, call, provider, model, tin, tout, cached)
     WHERE v_head[u.i] IS NOT NULL;
  END IF;
  IF one AND a_head IS NOT NULL AND f_item[1] = 1 THEN
    DELETE FROM tb.agent_run_queue x WHERE x.tenant_id = i_tenant[1] AND x.run_id = i_run[1] RETURNING * INTO STRICT q;
    INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result,
           error_code, error, input_seq, output_seq, parent_run_id, retry_of, user_id, trace_id, attempts, crashes, steps,
           tool_calls, tokens_in, tokens_out, enqueued_at, due_at, started_at, finished_at)
    VALUES (q.tenant_id, q.run_id, q.session_id, q.agent_id, q.kind, q.mode, q.lane_seq, q.lane_pos, q.agent_revision,
            f_result[1]::tb.run_result, f_error_code[1], f_error[1], q.input_seq,
            CASE WHEN f_result[1] = 'completed' AND q.kind = 'turn' THEN a_head END,
            q.parent_run_id, q.retry_of, q.user_id, q.trace_id, q.attempt, q.crashes, f_steps[1], f_tool_calls[1], f_tokens_in[1],
            f_tokens_out[1], q.enqueued_at, CASE WHEN q.run_at > q.enqueued_at THEN q.run_at END, q.started_at, now());
    any_job := q.kind = 'job';
  ELSIF cardinality(f_item) > 0 THEN
    WITH gone AS (
      DELETE FROM tb.agent_run_queue q
       USING unnest(f_item, f_result, f_error_code, f_error, f_steps, f_tool_calls, f_tokens_in, f_tokens_out)
             f(i, result, code, error, steps, calls, tin, tout)
       WHERE v_head[f.i] IS NOT NULL AND q.tenant_id = i_tenant[f.i] AND q.run_id = i_run[f.i]
      RETURNING q.*, f.i AS f_i, f.result AS f_res, f.code AS f_code, f.error AS f_err, f.steps AS f_st, f.calls AS f_ca,
                f.tin AS f_in, f.tout AS f_out),
    kept AS (INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result,
           error_code, error, input_seq, output_seq, parent_run_id, retry_of, user_id, trace_id, attempts, crashes, steps,
           tool_calls, tokens_in, tokens_out, enqueued_at, due_at, started_at, finished_at)
    SELECT g.tenant_id, g.run_id, g.session_id, g.agent_id, g.kind, g.mode, g.lane_seq, g.lane_pos, g.agent_revision,
           g.f_res::tb.run_result, g.f_code, g.f_err, g.input_seq,
           CASE WHEN g.f_res = 'completed' AND g.kind = 'turn' THEN v_head[g.f_i] END, g.parent_run_id, g.retry_of, g.user_id, g.trace_id,
           g.attempt, g.crashes, g.f_st, g.f_ca, g.f_in, g.f_out, g.enqueued_at,
           CASE WHEN g.run_at > g.enqueued_at THEN g.run_at END, g.started_at, now()
      FROM gone g RETURNING kind)
    SELECT bool_or(kind = 'job') INTO any_job FROM kept;
  END IF;
  IF 'dead' = ANY (f_result) THEN
    INSERT INTO tb.dead_runs (tenant_id, run_id, agent_id, session_id, reason, error, input)
    SELECT r.tenant_id, r.run_id, r.agent_id, r.session_id,
           CASE WHEN r.error_code IN ('poison', 'unknown_tool', 'deadline', 'policy') THEN r.error_code ELSE 'attempts' END, r.error,
           coalesce((SELECT b.body FROM tb.run_inputs b WHERE b.tenant_id = r.tenant_id AND b.run_id = r.run_id),
                    (SELECT m.content FROM tb.session_messages m
                      WHERE m.tenant_id = r.tenant_id AND m.session_id = r.session_id AND m.seq = r.input_seq))
      FROM unnest(f_item, f_result) f(i, result)
      JOIN tb.agent_runs r ON r.tenant_id = i_tenant[f.i] AND r.run_id = i_run[f.i]
     WHERE f.result = 'dead' AND v_head[f.i] IS NOT NULL;
  END IF;
  IF f_result && '{failed,dead,timed_out}' THEN      -- what the trigger did about the lane: whoever hears of the end need not ask
    FOR k IN 1 .. cardinality(f_item) LOOP
      CONTINUE WHEN f_result[k] NOT IN ('failed', 'dead', 'timed_out');
      v_policy[f_item[k]] := tb.failure_policy(i_tenant[f_item[k]], v_agent[f_item[k]]);
    END LOOP;
  END IF;
  IF any_job THEN                                    -- a job's parameters stay in run_inputs while it lives
    DELETE FROM tb.run_inputs b USING unnest(f_item) f(i)
     WHERE v_head[f.i] IS NOT NULL AND b.tenant_id = i_tenant[f.i] AND b.run_id = i_run[f.i];
  END IF;
  IF true = ANY (i_clear) THEN
    UPDATE tb.agent_run_queue q SET crashes = 0 FROM unnest(i_clear) WITH ORDINALITY u(clear, i)
     WHERE u.clear AND v_head[u.i] IS NOT NULL AND q.tenant_id = i_tenant[u.i] AND q.run_id = i_run[u.i] AND q.crashes <> 0;
  END IF;
  IF cardinality(r_item) > 0 THEN                    -- its worker lets go: whatever it still says of this run is stale
    UPDATE tb.agent_run_queue q SET state = 'retry_wait', run_at = now() + u.pause * interval '1 microsecond', last_code = u.code, last_error = u.error,
           active_ms = coalesce(u.ms, q.active_ms), cap_sha256 = NULL
      FROM unnest(r_item, r_pause_us, r_code, r_error, r_active_ms) u(i, pause, code, error, ms)
     WHERE v_head[u.i] IS NOT NULL AND q.tenant_id = i_tenant[u.i] AND q.run_id = i_run[u.i];
  END IF;
  IF 0 < ANY (i_take) THEN
    FOR k IN 1 .. cardinality(i_take) LOOP
      CONTINUE WHEN v_head[k] IS NULL OR i_take[k] IS NULL OR i_take[k] = 0;
      IF k = ANY (f_item) THEN
        RAISE EXCEPTION 'an item with a take has no end' USING ERRCODE = '22023';
      END IF;
      SELECT w.head, w.taken INTO a_head, a_taken
        FROM tb.take_waiting(i_tenant[k], i_session[k], i_run[k], i_take[k], v_head[k]) w;
      IF a_taken IS NOT NULL THEN
        UPDATE tb.lanes l SET head_seq = a_head WHERE l.tenant_id = i_tenant[k] AND l.session_id = i_session[k];
        v_head[k] := a_head; v_taken[k] := a_taken;
      END IF;
    END LOOP;
  END IF;
  RETURN QUERY SELECT k, CASE WHEN v_head[k] IS NULL THEN 'stale' ELSE 'ok' END, v_head[k], v_commit[k], now(), v_taken[k],
                      CASE WHEN v_head[k] IS NOT NULL THEN v_policy[k] END
    FROM generate_series(1, cardinality(i_tenant)) k;
END $$;

-- Locks the lanes of live runs; the session of each, NULL for what is not live. A run that appears later was not there.
CREATE FUNCTION tb.lock_runs(p_tenant bigint[], p_run uuid[]) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v uuid[];
BEGIN
  SELECT array_agg(q.session_id ORDER BY u.n) INTO v FROM unnest(p_tenant, p_run) WITH ORDINALITY u(t, r, n)
    LEFT JOIN tb.agent_run_queue q ON q.tenant_id = u.t AND q.run_id = u.r;
  PERFORM tb.lock_lanes(p_tenant, v);
  RETURN v;
END $$;

-- The end, under its lane's lock, of a run that started and that no worker can end: its open tool calls get their paired result, so that the
-- transcript stays whole. Its last event's number.
CREATE FUNCTION tb.archive_started(q tb.agent_run_queue, p_result text, p_code text, p_error text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE x record; v_head bigint; v_seq integer; v_body jsonb;
BEGIN
  DELETE FROM tb.agent_run_queue d WHERE d.tenant_id = q.tenant_id AND d.run_id = q.run_id;
  UPDATE tb.lanes l SET fence = l.fence + 1, commit_no = l.commit_no + 1
   WHERE l.tenant_id = q.tenant_id AND l.session_id = q.session_id RETURNING l.head_seq INTO v_head;
  FOR x IN UPDATE tb.tool_executions t SET state = 'unknown', error = p_error, finished_at = now()
            WHERE t.tenant_id = q.tenant_id AND t.run_id = q.run_id AND t.state IN ('pending', 'running')
           RETURNING t.step, t.call_no, t.call_id, t.tool LOOP
    v_head := v_head + 1;
    INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, step, role, content)
    VALUES (q.tenant_id, q.session_id, v_head, q.run_id, x.step, 'tool', jsonb_build_object('blocks', jsonb_build_array(
      jsonb_build_object('type', 'tool_result', 'callId', x.call_id, 'name', x.tool, 'isError', true,
                         'text', 'outcome unknown: the worker stopped while this ran'))));
  END LOOP;
  UPDATE tb.lanes l SET head_seq = v_head WHERE l.tenant_id = q.tenant_id AND l.session_id = q.session_id;
  v_seq := (SELECT coalesce(max(e.ev_seq), 0) FROM tb.run_events e WHERE e.tenant_id = q.tenant_id AND e.run_id = q.run_id);
  INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
  VALUES (q.tenant_id, q.run_id, v_seq + 1, 'error', jsonb_build_object('error', p_error, 'metadata', jsonb_build_object('code', p_code))),
         (q.tenant_id, q.run_id, v_seq + 2, 'lifecycle', jsonb_build_object('phase', 'error', 'metadata',
            jsonb_build_object('result', p_result, 'code', p_code)));
  DELETE FROM tb.run_inputs b WHERE b.tenant_id = q.tenant_id AND b.run_id = q.run_id RETURNING b.body INTO v_body;
  IF p_result = 'dead' THEN
    INSERT INTO tb.dead_runs (tenant_id, run_id, agent_id, session_id, reason, error, input)
    VALUES (q.tenant_id, q.run_id, q.agent_id, q.session_id, p_code, p_error, coalesce(v_body,
      (SELECT m.content FROM tb.session_messages m WHERE m.tenant_id = q.tenant_id AND m.session_id = q.session_id AND m.seq = q.input_seq)));
  END IF;
  INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result,
         error_code, error, input_seq, input, parent_run_id, retry_of, user_id, trace_id, attempts, crashes, enqueued_at, due_at, started_at,
         finished_at)
  VALUES (q.tenant_id, q.run_id, q.session_id, q.agent_id, q.kind, q.mode, q.lane_seq, q.lane_pos, q.agent_revision, p_result::tb.run_result,
          p_code, p_error, q.input_seq, CASE WHEN p_result <> 'dead' THEN v_body END, q.parent_run_id, q.retry_of, q.user_id, q.trace_id,
          q.attempt, q.crashes, q.enqueued_at, CASE WHEN q.run_at > q.enqueued_at THEN q.run_at END, q.started_at, now());
  RETURN v_seq + 2;
END $$;

-- The end of a run that no worker can end, as dead.
CREATE OR REPLACE FUNCTION tb.bury(p_tenant bigint[], p_run uuid[], p_session uuid[], p_reason text, p_error text)
RETURNS TABLE (n integer, ev_seq integer, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE q tb.agent_run_queue;
BEGIN
  PERFORM tb.lock_lanes(p_tenant, p_session);
  FOR i IN 1 .. cardinality(p_run) LOOP              -- rare: one row at a time
    SELECT * INTO q FROM tb.agent_run_queue x WHERE x.tenant_id = p_tenant[i] AND x.run_id = p_run[i];
    CONTINUE WHEN NOT FOUND;
    ev_seq := tb.archive_started(q, 'dead', p_reason, p_error);
    n := i; at := now();
    RETURN NEXT;
  END LOOP;
END $$;

-- A cancel: at once of what never started; else a wish that the run's worker, or its next claim, fulfils. A run that the database refuses to
-- start again, so that its lane is paused, has no such claim to come: it ends at once, too. A run whose enqueue is still under way is absent.
CREATE FUNCTION tb.cancel(p_tenant bigint[], p_run uuid[], p_code text[], p_by text[])
RETURNS TABLE (n integer, outcome text, result text, session uuid, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_session uuid[]; q tb.agent_run_queue;
BEGIN
  v_session := tb.lock_runs(p_tenant, p_run);
  at := now();
  FOR i IN 1 .. cardinality(p_run) LOOP
    n := i; outcome := 'absent'; result := NULL; session := v_session[i];
    q := NULL;
    IF session IS NOT NULL THEN
      SELECT * INTO q FROM tb.agent_run_queue x WHERE x.tenant_id = p_tenant[i] AND x.run_id = p_run[i];
    END IF;
    IF q.run_id IS NULL THEN
      SELECT 'ended', r.result, r.session_id INTO outcome, result, session FROM tb.agent_runs r
       WHERE r.tenant_id = p_tenant[i] AND r.run_id = p_run[i];
      IF NOT FOUND THEN outcome := 'absent'; session := NULL; END IF;
    ELSIF q.attempt = 0 THEN
      PERFORM tb.archive_waiting(q, 'cancelled', NULL, p_code[i],
                                 'cancelled' || coalesce(' by ' || p_by[i], '') || ' before it started', NULL);
      outcome := 'cancelled'; result := 'cancelled';
    ELSIF EXISTS (SELECT FROM tb.queue_pauses x WHERE x.scope = 'lane' AND x.tenant_id = q.tenant_id AND x.object = q.session_id
                     AND x.paused_by LIKE 'claim-refused %') THEN
      PERFORM tb.archive_started(q, 'cancelled', p_code[i], 'cancelled' || coalesce(' by ' || p_by[i], '')
                                 || ': the database had refused to start it again');
      outcome := 'cancelled'; result := 'cancelled';
    ELSE
      UPDATE tb.agent_run_queue x SET cancel_requested = true, cancel_code = p_code[i]
       WHERE x.tenant_id = q.tenant_id AND x.run_id = q.run_id AND NOT x.cancel_requested;
      outcome := 'requested';
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- The deadline of waiting in the queue, by the database's clock. policy: of the expired run's agent, NULL of others. No lane is waited for:
-- one that another transaction holds is 'locked'.
CREATE FUNCTION tb.expire(p_tenant bigint[], p_run uuid[]) RETURNS TABLE (n integer, outcome text, at timestamptz, policy text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_session uuid[]; v_free text[]; q tb.agent_run_queue;
BEGIN
  SELECT array_agg(x.session_id ORDER BY u.n) INTO v_session FROM unnest(p_tenant, p_run) WITH ORDINALITY u(t, r, n)
    LEFT JOIN tb.agent_run_queue x ON x.tenant_id = u.t AND x.run_id = u.r;
  SELECT array_agg(f.tenant_id || ' ' || f.session_id) INTO v_free
    FROM (SELECT l.tenant_id, l.session_id FROM (SELECT DISTINCT t, s FROM unnest(p_tenant, v_session) u(t, s)) u
            JOIN tb.lanes l ON l.tenant_id = u.t AND l.session_id = u.s FOR NO KEY UPDATE OF l SKIP LOCKED) f;
  at := now();
  FOR i IN 1 .. cardinality(p_run) LOOP
    n := i; q := NULL; policy := NULL;
    IF v_session[i] IS NOT NULL AND p_tenant[i] || ' ' || v_session[i] <> ALL (coalesce(v_free, '{}')) THEN
      outcome := 'locked';
      RETURN NEXT;
      CONTINUE;
    END IF;
    IF v_session[i] IS NOT NULL THEN
      SELECT * INTO q FROM tb.agent_run_queue x WHERE x.tenant_id = p_tenant[i] AND x.run_id = p_run[i];
    END IF;
    IF q.run_id IS NULL THEN
      outcome := 'absent';
    ELSIF q.attempt = 0 AND q.deadline_at <= at THEN
      PERFORM tb.archive_waiting(q, 'timed_out', NULL, 'deadline', 'it waited past its deadline', NULL);
      outcome := 'expired'; policy := tb.failure_policy(q.tenant_id, q.agent_id);
    ELSE
      outcome := 'kept';
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

CREATE FUNCTION tb.lane_is_paused(p_tenant bigint, p_session uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT EXISTS (SELECT FROM tb.queue_pauses x WHERE x.scope = 'lane' AND x.tenant_id = p_tenant AND x.object = p_session) $$;

-- What the archive or the dead letters still hold of a run, given again to its lane as a new one, at its end; that of the run which blocks
-- its lane goes to the head and ends the block. paused: whether the lane is, after this. A run has one heir: who asks again with another
-- p_new, since he heard no answer, makes no second one. heir: of 'redriven', it.
CREATE FUNCTION tb.redrive(p_tenant bigint, p_run uuid, p_new uuid, p_order_us bigint, p_by text)
RETURNS TABLE (outcome text, session_id uuid, agent_id uuid, slot integer, lane_seq bigint, lane_pos bigint, priority integer,
  enqueued_at timestamptz, paused boolean, heir uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE r tb.agent_runs; d tb.dead_runs; v_body jsonb;
BEGIN
  SELECT * INTO r FROM tb.agent_runs x WHERE x.tenant_id = p_tenant AND x.run_id = p_run;
  IF NOT FOUND THEN
    outcome := CASE WHEN EXISTS (SELECT FROM tb.agent_run_queue x WHERE x.tenant_id = p_tenant AND x.run_id = p_run) THEN 'live'
                    ELSE 'absent' END;
    RETURN NEXT; RETURN;
  END IF;
  PERFORM tb.lock_lanes(ARRAY[p_tenant], ARRAY[r.session_id]);
  RETURN QUERY                                       -- asked again after an unknown commit
  SELECT 'queued', x.session_id, x.agent_id, s.slot::integer, x.lane_seq, x.lane_pos, x.priority::integer, x.enqueued_at,
         tb.lane_is_paused(p_tenant, x.session_id), NULL::uuid
    FROM (SELECT q.tenant_id, q.session_id, q.agent_id, q.lane_seq, q.lane_pos, q.priority, q.enqueued_at FROM tb.agent_run_queue q
           WHERE q.tenant_id = p_tenant AND q.run_id = p_new AND q.retry_of = p_run
          UNION ALL
          SELECT a.tenant_id, a.session_id, a.agent_id, a.lane_seq, a.lane_pos, 0, a.enqueued_at FROM tb.agent_runs a
           WHERE a.tenant_id = p_tenant AND a.run_id = p_new AND a.retry_of = p_run) x
    JOIN tb.agent_sessions s ON s.tenant_id = x.tenant_id AND s.session_id = x.session_id;
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO d FROM tb.dead_runs x WHERE x.tenant_id = p_tenant AND x.run_id = p_run;
  heir := coalesce(d.redriven_as,
    (SELECT q.run_id FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.session_id = r.session_id AND q.retry_of = p_run LIMIT 1),
    (SELECT a.run_id FROM tb.agent_runs a WHERE a.tenant_id = p_tenant AND a.retry_of = p_run LIMIT 1));
  IF heir IS NOT NULL THEN outcome := 'redriven'; RETURN NEXT; RETURN; END IF;
  v_body := coalesce(d.input, r.input, (SELECT m.content FROM tb.session_messages m
    WHERE m.tenant_id = p_tenant AND m.session_id = r.session_id AND m.seq = r.input_seq AND m.role = 'user'));
  IF v_body IS NULL AND EXISTS (SELECT FROM tb.lanes l
       WHERE l.tenant_id = p_tenant AND l.session_id = r.session_id AND NOT l.closed) THEN
    outcome := 'no_input'; RETURN NEXT; RETURN;
  END IF;
  UPDATE tb.lanes l SET enq_seq = l.enq_seq + 1 WHERE l.tenant_id = p_tenant AND l.session_id = r.session_id AND NOT l.closed
  RETURNING l.enq_seq INTO lane_seq;
  IF NOT FOUND THEN outcome := 'closed'; RETURN NEXT; RETURN; END IF;
  outcome := 'queued'; session_id := r.session_id; agent_id := r.agent_id; lane_pos := lane_seq; priority := 0; enqueued_at := now();
  slot := (SELECT s.slot FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = r.session_id);
  IF EXISTS (SELECT FROM tb.queue_pauses x
              WHERE x.scope = 'lane' AND x.tenant_id = p_tenant AND x.object = r.session_id AND x.failed_run = p_run) THEN
    DELETE FROM tb.queue_pauses x
     WHERE x.scope = 'lane' AND x.tenant_id = p_tenant AND x.object = r.session_id AND x.paused_by = 'failure';
    UPDATE tb.queue_pauses x SET failed_run = NULL, failed_code = NULL, failed_at = NULL
     WHERE x.scope = 'lane' AND x.tenant_id = p_tenant AND x.object = r.session_id;
    UPDATE tb.lanes l SET blocked = false WHERE l.tenant_id = p_tenant AND l.session_id = r.session_id;
    lane_pos := coalesce((SELECT min(x.lane_pos) - 1 FROM tb.agent_run_queue x
                           WHERE x.tenant_id = p_tenant AND x.session_id = r.session_id), lane_pos);
  END IF;
  paused := tb.lane_is_paused(p_tenant, r.session_id);
  INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos, order_us, run_at,
         retry_of, user_id, enqueued_at)
  VALUES (p_tenant, p_new, r.session_id, r.agent_id, slot, r.kind, CASE r.kind WHEN 'turn' THEN 'followup' ELSE r.mode END, 'queued',
          lane_seq, lane_pos, p_order_us, now(), p_run, r.user_id, now());
  INSERT INTO tb.run_inputs (tenant_id, run_id, body) VALUES (p_tenant, p_new, v_body);
  UPDATE tb.dead_runs x SET redriven_as = p_new, redriven_by = p_by WHERE x.tenant_id = p_tenant AND x.run_id = p_run;
  RETURN NEXT;
END $$;

-- A pause of a lane that a failure blocks makes it that person's: a redrive no longer ends it. A resume ends both.
CREATE FUNCTION tb.pause(p_scope text, p_tenant bigint, p_object uuid, p_paused boolean, p_by text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := coalesce(p_tenant, 0); v_object uuid := coalesce(p_object, '00000000-0000-0000-0000-000000000000');
  v_changed boolean;
BEGIN
  IF p_paused THEN
    INSERT INTO tb.queue_pauses AS x (scope, tenant_id, object, paused_by) VALUES (p_scope, v_tenant, v_object, p_by)
    ON CONFLICT (scope, tenant_id, object) DO UPDATE SET paused_by = excluded.paused_by, paused_at = now() WHERE x.paused_by = 'failure';
  ELSE
    -- Where a run fails the lane's lock comes before the pause, so here too; but a lane that is not blocked is not waited for.
    IF p_scope = 'lane' AND EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = v_tenant AND l.session_id = v_object AND l.blocked) THEN
      PERFORM tb.lock_lanes(ARRAY[v_tenant], ARRAY[v_object]);
    END IF;
    DELETE FROM tb.queue_pauses x WHERE x.scope = p_scope AND x.tenant_id = v_tenant AND x.object = v_object;
    v_changed := FOUND;
    IF p_scope = 'lane' THEN                         -- also if the failure came between: the pause that was deleted was its
      UPDATE tb.lanes l SET blocked = false WHERE l.tenant_id = v_tenant AND l.session_id = v_object AND l.blocked;
    END IF;
    RETURN v_changed;
  END IF;
  RETURN FOUND;
END $$;

CREATE FUNCTION tb.audit(p_tenant bigint, p_actor text, p_action text, p_object text, p_detail jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, gen_random_uuid(), p_actor, p_action, p_object, coalesce(p_detail, '{}')) $$;

-- False: another node's start said that this one is gone.
CREATE FUNCTION tb.node_is_running(p_node uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT EXISTS (SELECT FROM tb.nodes WHERE node_id = p_node AND gone_at IS NULL) $$;

DROP FUNCTION tb.open_session;

-- The edge's getOrCreate for many at once, of several tenants. In key order, so that two batches never wait for each other.
CREATE FUNCTION tb.open_sessions(p_tenant bigint[], p_agent uuid[], p_key text[], p_session uuid[], p_slot smallint[], p_user text[])
RETURNS TABLE (n integer, session_id uuid, queue_mode text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
BEGIN
  WITH made AS (
    INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot, user_id)
    SELECT u.t, u.s, u.a, u.k, u.slot, u.usr FROM unnest(p_tenant, p_agent, p_key, p_session, p_slot, p_user) u(t, a, k, s, slot, usr)
      JOIN tb.agents g ON g.tenant_id = u.t AND g.agent_id = u.a AND g.deleted_at IS NULL
     WHERE u.t > 0 ORDER BY u.t, u.a, u.k
    ON CONFLICT DO NOTHING RETURNING tenant_id, session_id)
  INSERT INTO tb.lanes (tenant_id, session_id) SELECT tenant_id, session_id FROM made;
  RETURN QUERY
  SELECT u.n::integer, s.session_id, s.queue_mode FROM unnest(p_tenant, p_agent, p_key) WITH ORDINALITY u(t, a, k, n)
    LEFT JOIN tb.agents g ON g.tenant_id = u.t AND g.agent_id = u.a AND g.deleted_at IS NULL AND u.t > 0
    LEFT JOIN tb.agent_sessions s ON g.agent_id IS NOT NULL AND s.tenant_id = u.t AND s.agent_id = u.a AND s.session_key = u.k
   ORDER BY u.n;
END $$;

REVOKE ALL ON FUNCTION bullet, take_waiting, journal, lock_runs, archive_started, bury, cancel, expire, lane_is_paused, redrive, pause, audit,
  open_sessions, node_is_running FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cancel, expire, redrive, pause, audit, node_is_running TO tb_supervisor;
GRANT EXECUTE ON FUNCTION journal TO tb_worker;
GRANT EXECUTE ON FUNCTION open_sessions TO tb_edge;
REVOKE INSERT ON agent_sessions, lanes FROM tb_edge; -- open_sessions does that
