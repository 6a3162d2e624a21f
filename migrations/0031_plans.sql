-- SPDX-License-Identifier: Apache-2.0
-- Batches are accepted and committed by reading nothing but their own rows, whatever plan was made: each row is looked up by itself (sub-selects,
-- LIMIT). A join, or EXISTS, may be planned as a walk through the whole table, and a generic plan that was made while the queue was empty stays.

SET LOCAL search_path = tb;

-- T0. See docs/journal.md. A *fused start* (p_worker not NULL) happens only on a lane without live rows, once a lane and batch. A batch of
-- one, which is what a node mostly sees, goes by plain statements: the large one costs 0.2 ms before its first row. What is rare (a full
-- lane's victims, interrupts, deletes) makes the batch go one by one through the plain statements.
CREATE OR REPLACE FUNCTION tb.enqueue(p_node uuid, p_resend boolean, p_tenant bigint[], p_run uuid[], p_session uuid[], p_agent uuid[],
  p_slot smallint[], p_kind text[], p_mode text[], p_priority smallint[], p_order_us bigint[], p_run_at timestamptz[],
  p_deadline timestamptz[], p_body jsonb[], p_parent uuid[], p_user text[], p_key text[], p_hash bytea[], p_worker smallint[],
  p_cap_sha256 bytea[], p_victim uuid[], p_fold boolean[])
RETURNS TABLE (n integer, run_id uuid, outcome text, lane_seq bigint, lane_pos bigint, fence bigint, head_seq bigint,
  commit_no bigint, agent_revision integer, at timestamptz, victim text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE t bigint; s uuid; r uuid; starts boolean; takes integer; v_first uuid; v_hash bytea;
BEGIN
  IF p_resend THEN                                   -- the first try may still be committing: wait for it
    PERFORM tb.lock_lanes(p_tenant, p_session);
  END IF;
  IF cardinality(p_run) = 1 THEN
    at := now();
    n := 1; t := p_tenant[1]; s := p_session[1]; r := p_run[1];
    run_id := r;
    IF p_resend THEN
      outcome := 'landed';
      SELECT x.lane_seq, x.lane_pos INTO lane_seq, lane_pos FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.run_id = r;
      IF FOUND OR EXISTS (SELECT FROM tb.agent_runs x WHERE x.tenant_id = t AND x.run_id = r) THEN
        IF p_victim[1] IS NOT NULL THEN victim := tb.displaced(t, p_victim[1]); END IF;
        RETURN NEXT; RETURN;
      END IF;
    END IF;
    IF p_key[1] IS NOT NULL THEN                     -- expired keys: hourly DELETE
      INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
      SELECT t, 'enqueue', p_key[1], p_hash[1], r, at + interval '24 hours'
       WHERE EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed)
      ON CONFLICT DO NOTHING;
      IF NOT FOUND THEN
        SELECT k.run_id, k.request_hash INTO v_first, v_hash FROM tb.idempotency_keys k
         WHERE k.tenant_id = t AND k.scope = 'enqueue' AND k.key = p_key[1];
        IF FOUND AND v_first <> r THEN
          run_id := v_first;
          outcome := CASE WHEN v_hash = p_hash[1] THEN 'same' ELSE 'mismatch' END;
          RETURN NEXT; RETURN;
        END IF;
      END IF;
    END IF;
    starts := p_worker[1] IS NOT NULL
      AND NOT EXISTS (SELECT FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.session_id = s)
      AND NOT EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND l.blocked);
    takes := (starts AND p_kind[1] = 'turn')::integer; -- the message goes straight into the transcript
    UPDATE tb.lanes l SET enq_seq = l.enq_seq + 1, fence = l.fence + starts::integer, commit_no = l.commit_no + starts::integer,
           head_seq = l.head_seq + takes
     WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed
    RETURNING l.enq_seq, l.enq_seq, l.fence, l.head_seq, l.commit_no INTO lane_seq, lane_pos, fence, head_seq, commit_no;
    IF NOT FOUND THEN outcome := 'closed'; RETURN NEXT; RETURN; END IF;
    outcome := 'accepted';
    IF p_mode[1] IN ('interrupt', 'delete') THEN
      lane_pos := coalesce((SELECT min(x.lane_pos) FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.session_id = s), lane_seq) - 1;
    END IF;
    IF starts THEN
      SELECT g.revision INTO agent_revision FROM tb.agents g WHERE g.tenant_id = t AND g.agent_id = p_agent[1];
    ELSE
      fence := NULL;
    END IF;
    INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos,
           priority, order_us, run_at, deadline_at, attempt, fence, cap_sha256, node_id, worker, agent_revision, input_seq,
           parent_run_id, user_id, enqueued_at, started_at)
    VALUES (t, r, s, p_agent[1], p_slot[1], p_kind[1], p_mode[1],
           (CASE WHEN starts THEN 'running' WHEN p_run_at[1] > at THEN 'scheduled' ELSE 'queued' END)::tb.run_state,
           lane_seq, lane_pos, p_priority[1], p_order_us[1], coalesce(p_run_at[1], at), p_deadline[1], starts::integer,
           coalesce(fence, 0), CASE WHEN starts THEN p_cap_sha256[1] END, CASE WHEN starts THEN p_node END,
           CASE WHEN starts THEN p_worker[1] END, agent_revision, CASE WHEN takes > 0 THEN head_seq END, p_parent[1], p_user[1],
           at, CASE WHEN starts THEN at END);
    IF takes > 0 THEN
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
      VALUES (t, s, head_seq, r, 'user', p_body[1]);
    ELSE
      INSERT INTO tb.run_inputs (tenant_id, run_id, body) VALUES (t, r, p_body[1]);
    END IF;
    IF starts THEN
      INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body) VALUES (t, r, 1, 'lifecycle', '{"phase":"start"}');
    END IF;
    IF p_mode[1] = 'interrupt' AND NOT starts THEN
      UPDATE tb.agent_run_queue x SET cancel_requested = true, cancel_code = 'interrupted'
       WHERE x.tenant_id = t AND x.session_id = s AND x.state IN ('running', 'retry_wait') AND x.run_id <> r AND NOT x.cancel_requested;
    END IF;
    IF p_victim[1] IS NOT NULL THEN victim := tb.displace(t, s, p_victim[1], p_fold[1]); END IF;
    RETURN NEXT;
    RETURN;
  END IF;
  IF array_remove(p_key, NULL) <> '{}' THEN          -- expired keys: hourly DELETE
    INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
    SELECT t, 'enqueue', k, h, r, now() + interval '24 hours'
      FROM unnest(p_tenant, p_session, p_key, p_hash, p_run) WITH ORDINALITY u(t, s, k, h, r, n)
     WHERE k IS NOT NULL AND EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed)
     ORDER BY t, k, n
    ON CONFLICT DO NOTHING;
  END IF;
  IF array_remove(p_victim, NULL) <> '{}' OR p_mode && '{interrupt,delete}' THEN
    PERFORM tb.lock_lanes(p_tenant, p_session);
    FOR k IN 1 .. cardinality(p_run) LOOP
      RETURN QUERY SELECT k, x.run_id, x.outcome, x.lane_seq, x.lane_pos, x.fence, x.head_seq, x.commit_no, x.agent_revision, x.at, x.victim
        FROM tb.enqueue(p_node, p_resend, p_tenant[k:k], p_run[k:k], p_session[k:k], p_agent[k:k], p_slot[k:k], p_kind[k:k], p_mode[k:k],
               p_priority[k:k], p_order_us[k:k], p_run_at[k:k], p_deadline[k:k], p_body[k:k], p_parent[k:k], p_user[k:k], p_key[k:k],
               p_hash[k:k], p_worker[k:k], p_cap_sha256[k:k], p_victim[k:k], p_fold[k:k]) x;
    END LOOP;
    RETURN;
  END IF;
  RETURN QUERY
  WITH item AS MATERIALIZED (
    SELECT u.*, i.run_id AS first_run, i.request_hash AS first_hash,
           p_resend AND ((SELECT true FROM tb.agent_run_queue x WHERE x.tenant_id = u.t AND x.run_id = u.r) IS NOT NULL
                      OR (SELECT true FROM tb.agent_runs x WHERE x.tenant_id = u.t AND x.run_id = u.r) IS NOT NULL) AS landed
      FROM unnest(p_tenant, p_run, p_session, p_agent, p_slot, p_kind, p_mode, p_priority, p_order_us, p_run_at, p_deadline,
                  p_body, p_parent, p_user, p_key, p_hash, p_worker, p_cap_sha256)
           WITH ORDINALITY u(t, r, s, a, slot, kind, mode, prio, ous, due, dl, body, parent, usr, k, h, w, cap, n)
      LEFT JOIN LATERAL (SELECT x.run_id, x.request_hash FROM tb.idempotency_keys x
                          WHERE u.k IS NOT NULL AND x.tenant_id = u.t AND x.scope = 'enqueue' AND x.key = u.k LIMIT 1) i ON true),
  counted AS (
    SELECT *, row_number() OVER (PARTITION BY t, s ORDER BY n) AS nth FROM item
     WHERE NOT landed AND (first_run IS NULL OR first_run = r)),
  fresh AS MATERIALIZED (
    SELECT *, w IS NOT NULL AND nth = 1 AND (SELECT true FROM tb.agent_run_queue x
                WHERE x.tenant_id = t AND x.session_id = s LIMIT 1) IS NULL
              AND (SELECT l.blocked FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s) IS NOT TRUE AS starts FROM counted),
  lane AS (                                          -- per-lane counts: one lane may occur many times in a batch
    UPDATE tb.lanes l SET enq_seq = l.enq_seq + f.cnt, fence = l.fence + f.starts, commit_no = l.commit_no + f.starts,
           head_seq = l.head_seq + f.msgs
      FROM (SELECT t, s, count(*) AS cnt, count(*) FILTER (WHERE starts) AS starts,
                   count(*) FILTER (WHERE starts AND kind = 'turn') AS msgs FROM fresh GROUP BY t, s ORDER BY t, s) f
     WHERE l.tenant_id = f.t AND l.session_id = f.s AND NOT l.closed
    RETURNING l.tenant_id, l.session_id, l.enq_seq - f.cnt AS base, l.fence, l.head_seq, l.commit_no),
  placed AS MATERIALIZED (
    SELECT f.*, lane.fence, lane.head_seq, lane.commit_no, lane.base + f.nth AS lane_seq,
           CASE WHEN f.starts THEN (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = f.t AND g.agent_id = f.a) END AS rev
      FROM fresh f JOIN lane ON lane.tenant_id = f.t AND lane.session_id = f.s),
  q AS (
    INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos,
           priority, order_us, run_at, deadline_at, attempt, fence, cap_sha256, node_id, worker, agent_revision, input_seq,
           parent_run_id, user_id, enqueued_at, started_at)
    SELECT t, r, s, a, slot, kind, mode,
           (CASE WHEN starts THEN 'running' WHEN due > now() THEN 'scheduled' ELSE 'queued' END)::tb.run_state,
           lane_seq, lane_seq, prio, ous, coalesce(due, now()), dl, starts::int, CASE WHEN starts THEN fence ELSE 0 END,
           CASE WHEN starts THEN cap END, CASE WHEN starts THEN p_node END, CASE WHEN starts THEN w END, rev,
           CASE WHEN starts AND kind = 'turn' THEN head_seq END, parent, usr, now(), CASE WHEN starts THEN now() END
      FROM placed),
  b AS (INSERT INTO tb.run_inputs (tenant_id, run_id, body)
        SELECT t, r, body FROM placed WHERE NOT starts OR kind = 'job'),
  m AS (INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
        SELECT t, s, head_seq, r, 'user', body FROM placed WHERE starts AND kind = 'turn'),
  e AS (INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
        SELECT t, r, 1, 'lifecycle', '{"phase":"start"}' FROM placed WHERE starts)
  SELECT i.n::integer, CASE WHEN i.first_run <> i.r AND NOT i.landed THEN i.first_run ELSE i.r END,
         CASE WHEN i.landed THEN 'landed' WHEN i.first_run <> i.r AND i.first_hash = i.h THEN 'same'
              WHEN i.first_run <> i.r THEN 'mismatch' WHEN p.r IS NULL THEN 'closed' ELSE 'accepted' END,
         coalesce(p.lane_seq, was.lane_seq), coalesce(p.lane_seq, was.lane_pos), CASE WHEN p.starts THEN p.fence END,
         p.head_seq, p.commit_no, p.rev, now(), NULL::text
    FROM item i LEFT JOIN placed p ON p.n = i.n
    LEFT JOIN LATERAL (SELECT x.lane_seq, x.lane_pos FROM tb.agent_run_queue x WHERE i.landed AND x.tenant_id = i.t AND x.run_id = i.r LIMIT 1) was ON true
   ORDER BY i.n;
END $$;

-- T2, T3, T4, T5, the retry and the question. Nine groups of arrays; *_item are 1-based positions of items. Authority: the lane's (fence, commit_no) and the queue
-- row's fence and capability. Everything after the first statement asks v_head, which is NULL for an item that is stale.
-- Takes, cleared crashes, retries, questions, deaths and acts are rare: each is looked at only when an item asks for it. An act is what a run
-- does to its session beyond appending messages (tb.act): it comes after the item's messages and before its end.
CREATE OR REPLACE FUNCTION tb.journal(
  i_tenant bigint[], i_run uuid[], i_session uuid[], i_fence bigint[], i_commit bigint[], i_cap text[],
  m_item integer[], m_step smallint[], m_role text[], m_content jsonb[], m_tokens integer[],
  t_item integer[], t_step smallint[], t_call smallint[], t_call_id text[], t_tool text[], t_effect text[], t_state text[],
  t_attempt smallint[], t_input jsonb[], t_output jsonb[], t_error text[], t_policy integer[], t_ms integer[], t_bytes bigint[],
  t_exit integer[], t_signal text[], t_class text[], t_cut boolean[],
  e_item integer[], e_seq integer[], e_type text[], e_at timestamptz[], e_body jsonb[],
  u_item integer[], u_step smallint[], u_call smallint[], u_provider text[], u_model text[], u_in bigint[], u_out bigint[],
  u_cached bigint[], u_cache_write bigint[], u_reasoning bigint[], u_cost bigint[], u_ms integer[],
  f_item integer[], f_result text[], f_error_code text[], f_error text[], f_steps smallint[], f_tool_calls smallint[],
  f_tokens_in bigint[], f_tokens_out bigint[],
  i_take smallint[], i_clear boolean[],
  r_item integer[], r_pause_us bigint[], r_code text[], r_error text[], r_active_ms integer[],
  w_item integer[], w_id uuid[], w_step smallint[], w_call smallint[], w_tool text[], w_input jsonb[], w_rule text[], w_life_us bigint[],
  w_active_ms integer[],
  x_item integer[], x_what text[], x_data jsonb[])
RETURNS TABLE (n integer, outcome text, head_seq bigint, commit_no bigint, at timestamptz, taken jsonb, policy text, versions text,
  asks_until timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_head bigint[]; v_commit bigint[]; v_agent uuid[]; v_user text[]; one boolean := cardinality(i_run) = 1;
  a_head bigint; a_commit bigint; an_agent uuid; a_user text; q tb.agent_run_queue; k integer;
  v_taken jsonb[]; a_taken jsonb; any_job boolean; v_policy text[]; v_versions text[];
  v_until timestamptz[];
BEGIN
  IF cardinality(r_item) > 0 AND r_item && f_item THEN
    RAISE EXCEPTION 'an item has an end or a retry, not both' USING ERRCODE = '22023';
  END IF;
  IF cardinality(w_item) > 0 AND (w_item && f_item OR w_item && r_item) THEN
    RAISE EXCEPTION 'an item has an end, a retry or a question, not two of them' USING ERRCODE = '22023';
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
      FROM item i JOIN LATERAL (SELECT x.agent_id, x.user_id FROM tb.agent_run_queue x
             WHERE x.tenant_id = i.t AND x.run_id = i.r AND x.session_id = i.s AND x.state = 'running' AND x.fence = i.f
               AND x.cap_sha256 = sha256(convert_to(i.cap, 'UTF8')) LIMIT 1) q ON true
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
           attempt, input, output, error, policy_version, duration_ms, output_bytes, exit_code, signal, error_class, truncated, fence,
           started_at, finished_at)
    SELECT i_tenant[u.i], i_run[u.i], u.step, u.call, u.call_id, i_session[u.i], u.tool, u.effect,
           i_run[u.i] || ':' || u.step || ':' || u.call, u.state::tb.tool_state, u.attempt, u.input, u.output, u.error,
           coalesce(u.policy, 0), u.ms, u.bytes, u.exit, u.signal, u.class, coalesce(u.cut, false),
           i_fence[u.i], CASE WHEN u.state <> 'pending' THEN now() END,
           CASE WHEN u.state NOT IN ('pending', 'running') THEN now() END
      FROM unnest(t_item, t_step, t_call, t_call_id, t_tool, t_effect, t_state, t_attempt, t_input, t_output, t_error,
                  t_policy, t_ms, t_bytes, t_exit, t_signal, t_class, t_cut)
           u(i, step, call, call_id, tool, effect, state, attempt, input, output, error, policy, ms, bytes, exit, signal, class, cut)
     WHERE v_head[u.i] IS NOT NULL
    ON CONFLICT (tenant_id, run_id, step, call_no) DO UPDATE
       SET state = excluded.state, attempt = excluded.attempt, output = excluded.output, error = excluded.error,
           policy_version = greatest(x.policy_version, excluded.policy_version), duration_ms = excluded.duration_ms,
           output_bytes = excluded.output_bytes, exit_code = excluded.exit_code, signal = excluded.signal,
           error_class = excluded.error_class, truncated = excluded.truncated, fence = excluded.fence,
           started_at = coalesce(x.started_at, excluded.started_at),
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
             tokens_out, tokens_cached, tokens_cache_write, tokens_reasoning, cost_micros, duration_ms)
      SELECT i_tenant[1], i_run[1], u_step[k], u_call[k], an_agent, i_session[1], a_user, u_provider[k], u_model[k], u_in[k],
             u_out[k], u_cached[k], u_cache_write[k], u_reasoning[k], u_cost[k], u_ms[k] WHERE u_item[k] = 1;
    END LOOP;
  ELSIF cardinality(u_item) > 0 THEN
    INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, user_id, provider, model, tokens_in,
           tokens_out, tokens_cached, tokens_cache_write, tokens_reasoning, cost_micros, duration_ms)
    SELECT i_tenant[u.i], i_run[u.i], u.step, u.call, v_agent[u.i], i_session[u.i], v_user[u.i], u.provider, u.model,
           u.tin, u.tout, u.cached, u.cwrite, u.reasoning, u.cost, u.ms
      FROM unnest(u_item, u_step, u_call, u_provider, u_model, u_in, u_out, u_cached, u_cache_write, u_reasoning, u_cost, u_ms)
           u(i, step, call, provider, model, tin, tout, cached, cwrite, reasoning, cost, ms)
     WHERE v_head[u.i] IS NOT NULL;
  END IF;
  IF cardinality(x_item) > 0 THEN
    FOR k IN 1 .. cardinality(x_item) LOOP
      CONTINUE WHEN v_head[x_item[k]] IS NULL;
      a_head := tb.act(x_what[k], i_tenant[x_item[k]], i_session[x_item[k]], i_run[x_item[k]], v_head[x_item[k]], x_data[k]);
      CONTINUE WHEN a_head IS NULL OR a_head = v_head[x_item[k]];
      UPDATE tb.lanes l SET head_seq = a_head WHERE l.tenant_id = i_tenant[x_item[k]] AND l.session_id = i_session[x_item[k]];
      v_head[x_item[k]] := a_head;
    END LOOP;
    a_head := v_head[1];
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
  IF cardinality(w_item) > 0 THEN                    -- its worker lets go, as with a retry
    INSERT INTO tb.approvals (tenant_id, approval_id, run_id, session_id, step, call_no, tool, input, rule, expires_at)
    SELECT i_tenant[u.i], u.id, i_run[u.i], i_session[u.i], u.step, u.call, u.tool, u.input, u.rule, now() + u.life * interval '1 microsecond'
      FROM unnest(w_item, w_id, w_step, w_call, w_tool, w_input, w_rule, w_life_us) u(i, id, step, call, tool, input, rule, life)
     WHERE v_head[u.i] IS NOT NULL;
    FOR k IN SELECT DISTINCT t FROM unnest(w_item) t WHERE v_head[t] IS NOT NULL LOOP
      UPDATE tb.agent_run_queue x SET state = 'waiting', cap_sha256 = NULL,
             active_ms = coalesce((SELECT max(u.ms) FROM unnest(w_item, w_active_ms) u(i, ms) WHERE u.i = k), x.active_ms)
       WHERE x.tenant_id = i_tenant[k] AND x.run_id = i_run[k] RETURNING * INTO STRICT q;
      IF q.cancel_requested THEN                     -- nobody is asked for what will not be done
        PERFORM tb.approvals_close(q.tenant_id, q.run_id, 'denied', 'the run is cancelled', 'queue');
        PERFORM tb.approvals_release(q.tenant_id, q.run_id);
      ELSE
        v_until[k] := (SELECT min(a.expires_at) FROM tb.approvals a
                        WHERE a.tenant_id = q.tenant_id AND a.run_id = q.run_id AND a.state = 'pending');
      END IF;
    END LOOP;
  END IF;
  IF 0 < ANY (i_take) THEN
    FOR k IN 1 .. cardinality(i_take) LOOP
      CONTINUE WHEN v_head[k] IS NULL OR i_take[k] IS NULL OR i_take[k] = 0;
      IF k = ANY (f_item) OR k = ANY (w_item) THEN
        RAISE EXCEPTION 'an item with a take has no end and no question' USING ERRCODE = '22023';
      END IF;
      SELECT w.head, w.taken INTO a_head, a_taken
        FROM tb.take_waiting(i_tenant[k], i_session[k], i_run[k], i_take[k], v_head[k]) w;
      IF a_taken IS NOT NULL THEN
        UPDATE tb.lanes l SET head_seq = a_head WHERE l.tenant_id = i_tenant[k] AND l.session_id = i_session[k];
        v_head[k] := a_head; v_taken[k] := a_taken;
      END IF;
      v_versions[k] := tb.policy_versions(i_tenant[k], v_agent[k], i_session[k]); -- the model is asked next
    END LOOP;
  END IF;
  IF cardinality(t_item) > 0 THEN                    -- what its worker knows of the policy may be old
    FOR k IN SELECT DISTINCT t FROM unnest(t_item) t WHERE v_head[t] IS NOT NULL LOOP
      v_versions[k] := tb.policy_versions(i_tenant[k], v_agent[k], i_session[k]);
    END LOOP;
  END IF;
  RETURN QUERY SELECT k, CASE WHEN v_head[k] IS NULL THEN 'stale' ELSE 'ok' END, v_head[k], v_commit[k], now(), v_taken[k],
                      CASE WHEN v_head[k] IS NOT NULL THEN v_policy[k] END, v_versions[k], v_until[k]
    FROM generate_series(1, cardinality(i_tenant)) k;
END $$;
