-- SPDX-License-Identifier: Apache-2.0
-- The journal: every durable write of a run. docs/journal.md is its manual. Each function takes a batch as arrays, locks its lanes
-- in (tenant, session) order first, and takes its authority from the rows it touches; what fails drops out alone.

SET LOCAL search_path = tb;

-- Lanes are always taken in (tenant, session) order, so no two transactions wait for each other: enqueue and journal by the order in which
-- their first statement updates them, the others by this, FOR NO KEY UPDATE. Should a plan ever break that order, Postgres ends one of
-- the two with 40P01, which commits nothing and is sent again.
CREATE FUNCTION tb.lock_lanes(p_tenant bigint[], p_session uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF cardinality(p_tenant) = 1 THEN
    PERFORM FROM tb.lanes l WHERE l.tenant_id = p_tenant[1] AND l.session_id = p_session[1] FOR NO KEY UPDATE;
  ELSE
    PERFORM FROM (SELECT DISTINCT t, s FROM unnest(p_tenant, p_session) u(t, s)) u
      JOIN tb.lanes l ON l.tenant_id = u.t AND l.session_id = u.s ORDER BY u.t, u.s FOR NO KEY UPDATE OF l;
  END IF;
END $$;

-- T0. See docs/journal.md. A *fused start* (p_worker not NULL) happens only on a lane without live rows, once a lane and batch. A batch of
-- one, which is what a node mostly sees, goes by plain statements: the large one costs 0.2 ms before its first row.
CREATE FUNCTION tb.enqueue(p_node uuid, p_resend boolean, p_tenant bigint[], p_run uuid[], p_session uuid[], p_agent uuid[],
  p_slot smallint[], p_kind text[], p_mode text[], p_priority smallint[], p_order_us bigint[], p_run_at timestamptz[],
  p_deadline timestamptz[], p_body jsonb[], p_parent uuid[], p_user text[], p_key text[], p_hash bytea[], p_worker smallint[],
  p_cap_sha256 bytea[])
RETURNS TABLE (n integer, run_id uuid, outcome text, lane_seq bigint, lane_pos bigint, fence bigint, head_seq bigint,
  commit_no bigint, agent_revision integer, at timestamptz)
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
    run_id := r; lane_seq := NULL; lane_pos := NULL; fence := NULL; head_seq := NULL; commit_no := NULL; agent_revision := NULL;
    IF p_resend THEN
      outcome := 'landed';
      SELECT x.lane_seq, x.lane_pos INTO lane_seq, lane_pos FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.run_id = r;
      IF FOUND THEN RETURN NEXT; RETURN; END IF;
      PERFORM FROM tb.agent_runs x WHERE x.tenant_id = t AND x.run_id = r;
      IF FOUND THEN RETURN NEXT; RETURN; END IF;
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
      AND NOT EXISTS (SELECT FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.session_id = s);
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
    RETURN NEXT;
    RETURN;
  END IF;
  IF array_remove(p_key, NULL) <> '{}' THEN          -- expired keys: hourly DELETE
    INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
    SELECT t, 'enqueue', k, h, r, now() + interval '24 hours'
      FROM unnest(p_tenant, p_session, p_key, p_hash, p_run) u(t, s, k, h, r)
     WHERE k IS NOT NULL AND EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed)
     ORDER BY t, k
    ON CONFLICT DO NOTHING;
  END IF;
  RETURN QUERY
  WITH item AS MATERIALIZED (
    SELECT u.*, i.run_id AS first_run, i.request_hash AS first_hash,
           p_resend AND (EXISTS (SELECT FROM tb.agent_run_queue x WHERE x.tenant_id = u.t AND x.run_id = u.r)
                      OR EXISTS (SELECT FROM tb.agent_runs x WHERE x.tenant_id = u.t AND x.run_id = u.r)) AS landed
      FROM unnest(p_tenant, p_run, p_session, p_agent, p_slot, p_kind, p_mode, p_priority, p_order_us, p_run_at, p_deadline,
                  p_body, p_parent, p_user, p_key, p_hash, p_worker, p_cap_sha256)
           WITH ORDINALITY u(t, r, s, a, slot, kind, mode, prio, ous, due, dl, body, parent, usr, k, h, w, cap, n)
      LEFT JOIN tb.idempotency_keys i ON u.k IS NOT NULL AND i.tenant_id = u.t AND i.scope = 'enqueue' AND i.key = u.k),
  counted AS (
    SELECT *, row_number() OVER (PARTITION BY t, s ORDER BY n) AS nth FROM item
     WHERE NOT landed AND (first_run IS NULL OR first_run = r)),
  fresh AS MATERIALIZED (
    SELECT *, w IS NOT NULL AND nth = 1 AND NOT EXISTS (SELECT FROM tb.agent_run_queue x
                WHERE x.tenant_id = t AND x.session_id = s) AS starts FROM counted),
  lane AS (                                          -- per-lane counts: one lane may occur many times in a batch
    UPDATE tb.lanes l SET enq_seq = l.enq_seq + f.cnt, fence = l.fence + f.starts, commit_no = l.commit_no + f.starts,
           head_seq = l.head_seq + f.msgs
      FROM (SELECT t, s, count(*) AS cnt, count(*) FILTER (WHERE starts) AS starts,
                   count(*) FILTER (WHERE starts AND kind = 'turn') AS msgs FROM fresh GROUP BY t, s ORDER BY t, s) f
     WHERE l.tenant_id = f.t AND l.session_id = f.s AND NOT l.closed
    RETURNING l.tenant_id, l.session_id, l.enq_seq - f.cnt AS base, l.fence, l.head_seq, l.commit_no),
  placed AS MATERIALIZED (
    SELECT f.*, lane.fence, lane.head_seq, lane.commit_no, lane.base + f.nth AS lane_seq,
           CASE WHEN f.mode IN ('interrupt', 'delete') THEN coalesce((SELECT min(x.lane_pos) FROM tb.agent_run_queue x
                  WHERE x.tenant_id = f.t AND x.session_id = f.s), lane.base + 1) - f.nth
                ELSE lane.base + f.nth END AS lane_pos,
           CASE WHEN f.starts THEN (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = f.t AND g.agent_id = f.a) END AS rev
      FROM fresh f JOIN lane ON lane.tenant_id = f.t AND lane.session_id = f.s),
  q AS (
    INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos,
           priority, order_us, run_at, deadline_at, attempt, fence, cap_sha256, node_id, worker, agent_revision, input_seq,
           parent_run_id, user_id, enqueued_at, started_at)
    SELECT t, r, s, a, slot, kind, mode,
           (CASE WHEN starts THEN 'running' WHEN due > now() THEN 'scheduled' ELSE 'queued' END)::tb.run_state,
           lane_seq, lane_pos, prio, ous, coalesce(due, now()), dl, starts::int, CASE WHEN starts THEN fence ELSE 0 END,
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
         coalesce(p.lane_seq, was.lane_seq), coalesce(p.lane_pos, was.lane_pos), CASE WHEN p.starts THEN p.fence END,
         p.head_seq, p.commit_no, p.rev, now()
    FROM item i LEFT JOIN placed p ON p.n = i.n
    LEFT JOIN tb.agent_run_queue was ON i.landed AND was.tenant_id = i.t AND was.run_id = i.r ORDER BY i.n;
END $$;

-- T1. At most one run a lane. A run that is not returned was cancelled before it started, waits, is paused or is gone.
CREATE FUNCTION tb.claim(p_node uuid, p_tenant bigint[], p_run uuid[], p_session uuid[], p_worker smallint[],
  p_cap_sha256 bytea[], p_crashed boolean[])
RETURNS TABLE (n integer, run_id uuid, fence bigint, head_seq bigint, commit_no bigint, attempt smallint, crashes smallint,
  agent_revision integer, input_seq bigint, appended integer, resumed boolean, body jsonb, started_at timestamptz,
  enqueued_at timestamptz, agent_id uuid, ev_seq integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM tb.lock_lanes(p_tenant, p_session);
  RETURN QUERY
  WITH c AS MATERIALIZED (
    SELECT u.*, q.kind = 'turn' AND q.input_seq IS NULL AS moves, q.started_at IS NULL AS first
      FROM unnest(p_tenant, p_run, p_session, p_worker, p_cap_sha256, p_crashed)
           WITH ORDINALITY u(t, r, s, w, cap, crashed, n)
      JOIN tb.agent_run_queue q ON q.tenant_id = u.t AND q.run_id = u.r AND q.session_id = u.s
       AND q.state <> 'waiting' AND (q.attempt > 0 OR NOT q.cancel_requested)),
  lane AS (
    UPDATE tb.lanes l SET fence = l.fence + 1, commit_no = l.commit_no + 1, head_seq = l.head_seq + c.moves::int
      FROM c WHERE l.tenant_id = c.t AND l.session_id = c.s AND NOT l.paused
    RETURNING c.n, l.fence, l.head_seq, l.commit_no),
  q AS (
    UPDATE tb.agent_run_queue q SET state = 'running', fence = lane.fence, cap_sha256 = c.cap, node_id = p_node, worker = c.w,
           attempt = q.attempt + (q.attempt = 0 OR q.state = 'retry_wait')::int, crashes = q.crashes + c.crashed::int,
           started_at = coalesce(q.started_at, now()), input_seq = CASE WHEN c.moves THEN lane.head_seq ELSE q.input_seq END,
           agent_revision = coalesce(q.agent_revision,
             (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = q.tenant_id AND g.agent_id = q.agent_id))
      FROM c JOIN lane ON lane.n = c.n
     WHERE q.tenant_id = c.t AND q.run_id = c.r
    RETURNING c.n, c.moves, c.first, q.run_id, lane.fence, lane.head_seq, lane.commit_no, q.attempt, q.crashes,
              q.agent_revision, q.input_seq, q.started_at, q.enqueued_at, q.agent_id),
  i AS (DELETE FROM tb.run_inputs x USING c JOIN lane ON lane.n = c.n
         WHERE c.moves AND x.tenant_id = c.t AND x.run_id = c.r
        RETURNING c.n, x.tenant_id, c.s, lane.head_seq, x.run_id, x.body),
  m AS (INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
        SELECT i.tenant_id, i.s, i.head_seq, i.run_id, 'user', i.body FROM i),
  e AS (INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
        SELECT c.t, c.r, 1, 'lifecycle', '{"phase":"start"}' FROM c JOIN lane ON lane.n = c.n WHERE c.first)
  SELECT q.n::integer, q.run_id, q.fence, q.head_seq, q.commit_no, q.attempt, q.crashes, q.agent_revision, q.input_seq,
         q.moves::int, NOT q.first, i.body, q.started_at, q.enqueued_at, q.agent_id,
         CASE WHEN q.first THEN 1 ELSE (SELECT max(x.ev_seq) FROM tb.run_events x
                WHERE x.tenant_id = p_tenant[q.n] AND x.run_id = q.run_id) END
    FROM q LEFT JOIN i ON i.n = q.n ORDER BY q.n;
END $$;

-- T2, T3, T5. Six groups of arrays; *_item are 1-based positions of items. Authority: the lane's (fence, commit_no) and the queue
-- row's fence and capability. Everything after the first statement asks v_head, which is NULL for an item that is stale.
CREATE FUNCTION tb.journal(
  i_tenant bigint[], i_run uuid[], i_session uuid[], i_fence bigint[], i_commit bigint[], i_cap text[],
  m_item integer[], m_step smallint[], m_role text[], m_content jsonb[], m_tokens integer[],
  t_item integer[], t_step smallint[], t_call smallint[], t_call_id text[], t_tool text[], t_effect text[], t_state text[],
  t_attempt smallint[], t_input jsonb[], t_output jsonb[], t_error text[],
  e_item integer[], e_seq integer[], e_type text[], e_at timestamptz[], e_body jsonb[],
  u_item integer[], u_step smallint[], u_call smallint[], u_provider text[], u_model text[], u_in bigint[], u_out bigint[],
  u_cached bigint[],
  f_item integer[], f_result text[], f_error_code text[], f_error text[], f_steps smallint[], f_tool_calls smallint[],
  f_tokens_in bigint[], f_tokens_out bigint[])
RETURNS TABLE (n integer, outcome text, head_seq bigint, commit_no bigint, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_head bigint[]; v_commit bigint[]; v_agent uuid[]; v_user text[]; one boolean := cardinality(i_run) = 1;
  a_head bigint; a_commit bigint; an_agent uuid; a_user text; q tb.agent_run_queue; k integer;
BEGIN
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
           tool_calls, tokens_in, tokens_out, enqueued_at, started_at, finished_at)
    VALUES (q.tenant_id, q.run_id, q.session_id, q.agent_id, q.kind, q.mode, q.lane_seq, q.lane_pos, q.agent_revision,
            f_result[1]::tb.run_result, f_error_code[1], f_error[1], q.input_seq, CASE WHEN f_result[1] = 'completed' THEN a_head END,
            q.parent_run_id, q.retry_of, q.user_id, q.trace_id, q.attempt, q.crashes, f_steps[1], f_tool_calls[1], f_tokens_in[1],
            f_tokens_out[1], q.enqueued_at, q.started_at, now());
  ELSIF cardinality(f_item) > 0 THEN
    WITH gone AS (
      DELETE FROM tb.agent_run_queue q
       USING unnest(f_item, f_result, f_error_code, f_error, f_steps, f_tool_calls, f_tokens_in, f_tokens_out)
             f(i, result, code, error, steps, calls, tin, tout)
       WHERE v_head[f.i] IS NOT NULL AND q.tenant_id = i_tenant[f.i] AND q.run_id = i_run[f.i]
      RETURNING q.*, f.i AS f_i, f.result AS f_res, f.code AS f_code, f.error AS f_err, f.steps AS f_st, f.calls AS f_ca,
                f.tin AS f_in, f.tout AS f_out)
    INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result,
           error_code, error, input_seq, output_seq, parent_run_id, retry_of, user_id, trace_id, attempts, crashes, steps,
           tool_calls, tokens_in, tokens_out, enqueued_at, started_at, finished_at)
    SELECT g.tenant_id, g.run_id, g.session_id, g.agent_id, g.kind, g.mode, g.lane_seq, g.lane_pos, g.agent_revision,
           g.f_res::tb.run_result, g.f_code, g.f_err, g.input_seq,
           CASE WHEN g.f_res = 'completed' THEN v_head[g.f_i] END, g.parent_run_id, g.retry_of, g.user_id, g.trace_id,
           g.attempt, g.crashes, g.f_st, g.f_ca, g.f_in, g.f_out, g.enqueued_at, g.started_at, now()
      FROM gone g;
  END IF;
  RETURN QUERY SELECT k, CASE WHEN v_head[k] IS NULL THEN 'stale' ELSE 'ok' END, v_head[k], v_commit[k], now()
    FROM generate_series(1, cardinality(i_tenant)) k;
END $$;

-- Decides an unknown commit: waits for a commit still under way by locking the lanes, then tells what stands.
CREATE FUNCTION tb.lane_state(p_tenant bigint[], p_session uuid[], p_cap text[])
RETURNS TABLE (n integer, fence bigint, commit_no bigint, head_seq bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
BEGIN
  PERFORM FROM (SELECT DISTINCT t, s FROM unnest(p_tenant, p_session, p_cap) u(t, s, cap)
                  JOIN tb.worker_caps c ON c.tenant_id = u.t AND c.cap_sha256 = sha256(convert_to(u.cap, 'UTF8'))) u
    JOIN tb.lanes l ON l.tenant_id = u.t AND l.session_id = u.s ORDER BY u.t, u.s FOR NO KEY UPDATE OF l;
  RETURN QUERY
  SELECT u.n::integer, l.fence, l.commit_no, l.head_seq
    FROM unnest(p_tenant, p_session, p_cap) WITH ORDINALITY u(t, s, cap, n)
    JOIN tb.worker_caps c ON c.tenant_id = u.t AND c.cap_sha256 = sha256(convert_to(u.cap, 'UTF8')) AND c.expires_at > now()
    JOIN tb.lanes l ON l.tenant_id = u.t AND l.session_id = u.s ORDER BY u.n;
END $$;

-- The end of a run that no worker can end: it took its worker down too often. Its open tool calls get their paired result, so that
-- the transcript stays whole; the run is archived `dead` and listed for an operator.
CREATE FUNCTION tb.bury(p_tenant bigint[], p_run uuid[], p_session uuid[], p_reason text, p_error text)
RETURNS TABLE (n integer, ev_seq integer, at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE i integer; q tb.agent_run_queue; x record; v_head bigint; v_seq integer;
BEGIN
  PERFORM tb.lock_lanes(p_tenant, p_session);
  FOR i IN 1 .. cardinality(p_run) LOOP              -- rare: one row at a time
    DELETE FROM tb.agent_run_queue d WHERE d.tenant_id = p_tenant[i] AND d.run_id = p_run[i] RETURNING * INTO q;
    CONTINUE WHEN NOT FOUND;
    UPDATE tb.lanes SET fence = fence + 1, commit_no = commit_no + 1
     WHERE tenant_id = q.tenant_id AND session_id = q.session_id RETURNING head_seq INTO v_head;
    FOR x IN UPDATE tb.tool_executions t SET state = 'unknown', error = p_error, finished_at = now()
              WHERE t.tenant_id = q.tenant_id AND t.run_id = q.run_id AND t.state IN ('pending', 'running')
             RETURNING t.step, t.call_no, t.call_id, t.tool LOOP
      v_head := v_head + 1;
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, step, role, content)
      VALUES (q.tenant_id, q.session_id, v_head, q.run_id, x.step, 'tool', jsonb_build_object('blocks', jsonb_build_array(
        jsonb_build_object('type', 'tool_result', 'callId', x.call_id, 'name', x.tool, 'isError', true,
                           'text', 'outcome unknown: the worker stopped while this ran'))));
    END LOOP;
    UPDATE tb.lanes SET head_seq = v_head WHERE tenant_id = q.tenant_id AND session_id = q.session_id;
    SELECT coalesce(max(e.ev_seq), 0) INTO v_seq FROM tb.run_events e WHERE e.tenant_id = q.tenant_id AND e.run_id = q.run_id;
    INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
    VALUES (q.tenant_id, q.run_id, v_seq + 1, 'error', jsonb_build_object('error', p_error, 'metadata', jsonb_build_object('code', p_reason))),
           (q.tenant_id, q.run_id, v_seq + 2, 'lifecycle', '{"phase":"error","metadata":{"result":"dead"}}');
    INSERT INTO tb.dead_runs (tenant_id, run_id, agent_id, session_id, reason, error, input)
    SELECT q.tenant_id, q.run_id, q.agent_id, q.session_id, p_reason, p_error, coalesce(
      (SELECT b.body FROM tb.run_inputs b WHERE b.tenant_id = q.tenant_id AND b.run_id = q.run_id),
      (SELECT m.content FROM tb.session_messages m WHERE m.tenant_id = q.tenant_id AND m.session_id = q.session_id AND m.seq = q.input_seq));
    DELETE FROM tb.run_inputs b WHERE b.tenant_id = q.tenant_id AND b.run_id = q.run_id;
    INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, agent_revision, result,
           error_code, error, input_seq, parent_run_id, retry_of, user_id, trace_id, attempts, crashes, enqueued_at, started_at, finished_at)
    VALUES (q.tenant_id, q.run_id, q.session_id, q.agent_id, q.kind, q.mode, q.lane_seq, q.lane_pos, q.agent_revision, 'dead',
            p_reason, p_error, q.input_seq, q.parent_run_id, q.retry_of, q.user_id, q.trace_id, q.attempt, q.crashes,
            q.enqueued_at, q.started_at, now());
    n := i; ev_seq := v_seq + 2; at := now();
    RETURN NEXT;
  END LOOP;
END $$;

-- ------------------------------------------------------------------ nodes and capabilities
CREATE FUNCTION tb.node_start(p_node uuid, p_host text, p_version text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  UPDATE tb.nodes SET gone_at = now() WHERE gone_at IS NULL;
  DELETE FROM tb.worker_caps WHERE node_id <> p_node;
  INSERT INTO tb.nodes (node_id, host, version) VALUES (p_node, p_host, p_version) $$;
CREATE FUNCTION tb.nodes_running() RETURNS TABLE (host text, started_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT host, started_at FROM tb.nodes WHERE gone_at IS NULL $$;
CREATE FUNCTION tb.node_stop(p_node uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.worker_caps WHERE node_id = p_node;
  UPDATE tb.nodes SET gone_at = now() WHERE node_id = p_node $$;
CREATE FUNCTION tb.cap_grant(p_node uuid, p_worker uuid[], p_tenant bigint[], p_cap_sha256 bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.worker_caps (cap_sha256, tenant_id, worker_id, node_id)
  SELECT c, t, w, p_node FROM unnest(p_worker, p_tenant, p_cap_sha256) u(w, t, c)
  ON CONFLICT (cap_sha256) DO UPDATE SET expires_at = excluded.expires_at $$;  -- renewed, or carried by two batches
CREATE FUNCTION tb.cap_revoke(p_worker uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.worker_caps WHERE worker_id = p_worker $$;
