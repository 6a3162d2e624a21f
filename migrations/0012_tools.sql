-- SPDX-License-Identifier: Apache-2.0
-- Tools: what is kept of each execution, and the versions of the policy that a run's steps see.

SET LOCAL search_path = tb;

ALTER TABLE tool_executions
  ADD COLUMN duration_ms integer,                    -- of the call itself, without its commits
  ADD COLUMN output_bytes bigint,                    -- of what it gave, before anything was left out
  ADD COLUMN exit_code integer,                      -- of a program
  ADD COLUMN signal text,                            -- that ended a program
  ADD COLUMN error_class text,                       -- a code of err.tbl
  ADD COLUMN truncated boolean NOT NULL DEFAULT false;

-- Of the session's own layer of the policy (agent_sessions.policy); + 1 at every change, its removal too.
ALTER TABLE agent_sessions ADD COLUMN policy_version integer NOT NULL DEFAULT 0;
GRANT UPDATE (policy_version) ON agent_sessions TO tb_edge;

-- Before there was a policy an agent had no programs unless its revision named them: so it stays for those that there are.
UPDATE agent_tool_policies p SET denied = '{group:runtime}', version = version + 1
 WHERE profile = 'full' AND denied = '{}' AND NOT EXISTS (
   SELECT FROM agents a JOIN agent_revisions r USING (tenant_id, agent_id, revision)
    WHERE a.tenant_id = p.tenant_id AND a.agent_id = p.agent_id AND r.config->'tools' ?| ARRAY['bash', 'exec']);

-- Of the layers that decide about an agent's tools in a session: another text, another policy. As plpgsql, whose plans are kept: each claim
-- and each commit with calls asks for them.
CREATE FUNCTION tb.policy_versions(p_tenant bigint, p_agent uuid, p_session uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT c.version FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant), 0) || '.' ||
         coalesce((SELECT p.version FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent), 0) || '.' ||
         coalesce((SELECT s.policy_version FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session), 0);
END $$;

-- ---- approvals: what a person is asked before a call is made. A run in `waiting` has at least one that is pending, and no other run has one.

ALTER TABLE approvals ADD COLUMN rule text NOT NULL DEFAULT '';  -- of the policy: why it asks

CREATE FUNCTION tb.as_text(p_at timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- The answer of one that is pending, under its lane's lock: its row, an event of its run, the audit. The event's number.
CREATE FUNCTION tb.approval_set(a tb.approvals, p_state text, p_text text, p_by text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_seq integer;
BEGIN
  UPDATE tb.approvals x SET state = p_state, answer = p_text, answered_by = p_by, answered_at = now()
   WHERE x.tenant_id = a.tenant_id AND x.approval_id = a.approval_id;
  v_seq := 1 + (SELECT coalesce(max(e.ev_seq), 0) FROM tb.run_events e WHERE e.tenant_id = a.tenant_id AND e.run_id = a.run_id);
  INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
  SELECT a.tenant_id, a.run_id, v_seq, 'tool', jsonb_build_object('toolName', a.tool, 'toolState', 'pending', 'metadata', jsonb_build_object(
         'callId', t.call_id, 'step', a.step, 'call', a.call_no, 'approval', jsonb_strip_nulls(jsonb_build_object(
         'id', a.approval_id, 'state', p_state, 'by', p_by, 'message', p_text))))
    FROM (SELECT 1) one LEFT JOIN tb.tool_executions t
      ON t.tenant_id = a.tenant_id AND t.run_id = a.run_id AND t.step = a.step AND t.call_no = a.call_no;
  PERFORM tb.audit(a.tenant_id, p_by, 'approval.' || p_state, 'approval:' || a.approval_id,
                   jsonb_strip_nulls(jsonb_build_object('run', a.run_id, 'tool', a.tool, 'message', p_text)));
  RETURN v_seq;
END $$;

-- All of a run that are pending, under its lane's lock.
CREATE FUNCTION tb.approvals_close(p_tenant bigint, p_run uuid, p_state text, p_text text, p_by text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE a tb.approvals;
BEGIN
  FOR a IN SELECT * FROM tb.approvals x WHERE x.tenant_id = p_tenant AND x.run_id = p_run AND x.state = 'pending'
            ORDER BY x.step, x.call_no LOOP
    PERFORM tb.approval_set(a, p_state, p_text, p_by);
  END LOOP;
END $$;

-- A run of which nothing is pending any more goes on; one that an interrupt waits for, to its end. Whether it is to be claimed now; NULL:
-- it is not there any more.
CREATE FUNCTION tb.approvals_release(p_tenant bigint, p_run uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE q tb.agent_run_queue; v_cut boolean;
BEGIN
  SELECT * INTO q FROM tb.agent_run_queue x WHERE x.tenant_id = p_tenant AND x.run_id = p_run;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF q.state <> 'waiting' THEN RETURN q.state = 'queued' AND q.attempt > 0; END IF;
  IF EXISTS (SELECT FROM tb.approvals a WHERE a.tenant_id = p_tenant AND a.run_id = p_run AND a.state = 'pending') THEN
    RETURN false;
  END IF;
  v_cut := NOT q.cancel_requested AND EXISTS (SELECT FROM tb.agent_run_queue i
    WHERE i.tenant_id = p_tenant AND i.session_id = q.session_id AND i.mode = 'interrupt' AND i.attempt = 0 AND i.lane_pos < q.lane_pos);
  UPDATE tb.agent_run_queue x SET state = 'queued', cancel_requested = x.cancel_requested OR v_cut,
         cancel_code = CASE WHEN v_cut THEN 'interrupted' ELSE x.cancel_code END
   WHERE x.tenant_id = p_tenant AND x.run_id = p_run;
  RETURN true;
END $$;

-- A person's answer: 'answered', 'same' (it had that answer), 'other' (it had another: state is it), 'absent'. After its time it has expired,
-- though nobody noticed yet. What is allowed for the session is allowed to all that the run asks of that tool. queued: its run is to be
-- claimed; NULL: there is no such run any more. ev_seq: of 'answered', its last event's.
CREATE FUNCTION tb.approval_answer(p_tenant bigint, p_approval uuid, p_state text, p_text text, p_by text)
RETURNS TABLE (outcome text, state text, queued boolean, ev_seq integer, run_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE a tb.approvals; v_session uuid;
BEGIN
  IF p_state NOT IN ('once', 'session', 'denied') THEN
    RAISE EXCEPTION 'an answer is once, session or denied' USING ERRCODE = '22023';
  END IF;
  SELECT x.session_id INTO v_session FROM tb.approvals x WHERE x.tenant_id = p_tenant AND x.approval_id = p_approval;
  IF NOT FOUND THEN outcome := 'absent'; RETURN NEXT; RETURN; END IF;
  PERFORM tb.lock_lanes(ARRAY[p_tenant], ARRAY[v_session]);
  SELECT * INTO a FROM tb.approvals x WHERE x.tenant_id = p_tenant AND x.approval_id = p_approval;
  run_id := a.run_id;
  IF a.state = 'pending' AND a.expires_at <= now() THEN
    PERFORM tb.approval_set(a, 'expired', NULL, 'queue');
    a.state := 'expired';
  END IF;
  IF a.state = 'pending' THEN
    ev_seq := tb.approval_set(a, p_state, p_text, p_by);
    outcome := 'answered'; state := p_state;
    IF p_state = 'session' THEN
      FOR a IN SELECT * FROM tb.approvals x WHERE x.tenant_id = p_tenant AND x.run_id = a.run_id AND x.tool = a.tool AND x.state = 'pending'
                 AND x.expires_at > now() ORDER BY x.step, x.call_no LOOP
        ev_seq := tb.approval_set(a, p_state, p_text, p_by);
      END LOOP;
    END IF;
  ELSE
    outcome := CASE WHEN a.state = p_state AND a.answer IS NOT DISTINCT FROM p_text THEN 'same' ELSE 'other' END;
    state := a.state;
  END IF;
  queued := tb.approvals_release(p_tenant, run_id);
  RETURN NEXT;
END $$;

-- All that a run asks is denied, because of a message. As above; queued NULL: there is no such run any more.
CREATE FUNCTION tb.approvals_deny(p_tenant bigint, p_run uuid, p_text text, p_by text) RETURNS TABLE (queued boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  PERFORM tb.lock_runs(ARRAY[p_tenant], ARRAY[p_run]);
  PERFORM tb.approvals_close(p_tenant, p_run, 'denied', p_text, p_by);
  queued := tb.approvals_release(p_tenant, p_run);
  RETURN NEXT;
END $$;

-- As people see one; of an input longer than p_most bytes its size alone.
CREATE FUNCTION tb.approval_json(a tb.approvals, p_most integer) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('id', a.approval_id, 'state', a.state, 'runId', a.run_id, 'sessionId', a.session_id, 'tool', a.tool,
    'input', CASE WHEN octet_length(a.input::text) <= p_most THEN a.input
                  ELSE jsonb_build_object('truncated', true, 'bytes', octet_length(a.input::text)) END,
    'rule', a.rule, 'step', a.step, 'call', a.call_no, 'askedAt', tb.as_text(a.asked_at), 'expiresAt', tb.as_text(a.expires_at))
    || jsonb_strip_nulls(jsonb_build_object('answeredAt', tb.as_text(a.answered_at), 'by', a.answered_by, 'message', a.answer)) $$;

-- A run that ends while it waits, whoever ends it.
CREATE FUNCTION tb.approvals_end() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  PERFORM tb.approvals_close(OLD.tenant_id, OLD.run_id, 'denied', 'the run ended', 'queue');
  RETURN NULL;
END $$;
CREATE TRIGGER approvals_end AFTER DELETE ON agent_run_queue FOR EACH ROW WHEN (OLD.state = 'waiting') EXECUTE FUNCTION approvals_end();

-- As in 0011, and: one that waits for a person is asked no more; its next claim ends it.
CREATE OR REPLACE FUNCTION tb.cancel(p_tenant bigint[], p_run uuid[], p_code text[], p_by text[])
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
      IF q.state = 'waiting' THEN
        PERFORM tb.approvals_close(q.tenant_id, q.run_id, 'denied', 'the run is cancelled', coalesce(p_by[i], 'queue'));
        PERFORM tb.approvals_release(q.tenant_id, q.run_id);
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
-- As in 0011, and: the time to answer what a run asks. 'answered': nothing is pending any more, the run is to be claimed.
CREATE OR REPLACE FUNCTION tb.expire(p_tenant bigint[], p_run uuid[]) RETURNS TABLE (n integer, outcome text, at timestamptz, policy text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_session uuid[]; v_free text[]; q tb.agent_run_queue; a tb.approvals;
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
    ELSIF q.state IN ('waiting', 'queued') AND q.attempt > 0 THEN
      FOR a IN SELECT * FROM tb.approvals x WHERE x.tenant_id = q.tenant_id AND x.run_id = q.run_id AND x.state = 'pending'
                 AND x.expires_at <= at ORDER BY x.step, x.call_no LOOP
        PERFORM tb.approval_set(a, 'expired', NULL, 'queue');
      END LOOP;
      outcome := CASE WHEN tb.approvals_release(q.tenant_id, q.run_id) THEN 'answered' ELSE 'kept' END;
    ELSE
      outcome := 'kept';
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

DROP FUNCTION tb.journal;

-- T2, T3, T4, T5, the retry and the question. Eight groups of arrays; *_item are 1-based positions of items. Authority: the lane's (fence, commit_no) and the queue
-- row's fence and capability. Everything after the first statement asks v_head, which is NULL for an item that is stale.
-- Takes, cleared crashes, retries, questions and deaths are rare: each is looked at only when an item asks for it.
CREATE FUNCTION tb.journal(
  i_tenant bigint[], i_run uuid[], i_session uuid[], i_fence bigint[], i_commit bigint[], i_cap text[],
  m_item integer[], m_step smallint[], m_role text[], m_content jsonb[], m_tokens integer[],
  t_item integer[], t_step smallint[], t_call smallint[], t_call_id text[], t_tool text[], t_effect text[], t_state text[],
  t_attempt smallint[], t_input jsonb[], t_output jsonb[], t_error text[], t_policy integer[], t_ms integer[], t_bytes bigint[],
  t_exit integer[], t_signal text[], t_class text[], t_cut boolean[],
  e_item integer[], e_seq integer[], e_type text[], e_at timestamptz[], e_body jsonb[],
  u_item integer[], u_step smallint[], u_call smallint[], u_provider text[], u_model text[], u_in bigint[], u_out bigint[],
  u_cached bigint[],
  f_item integer[], f_result text[], f_error_code text[], f_error text[], f_steps smallint[], f_tool_calls smallint[],
  f_tokens_in bigint[], f_tokens_out bigint[],
  i_take smallint[], i_clear boolean[],
  r_item integer[], r_pause_us bigint[], r_code text[], r_error text[], r_active_ms integer[],
  w_item integer[], w_id uuid[], w_step smallint[], w_call smallint[], w_tool text[], w_input jsonb[], w_rule text[], w_life_us bigint[],
  w_active_ms integer[])
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

REVOKE ALL ON FUNCTION journal, policy_versions, approval_set, approvals_close, approvals_release, approval_answer, approvals_deny, approvals_end, cancel, expire,
  approval_json, as_text FROM PUBLIC;
GRANT EXECUTE ON FUNCTION approval_answer, approvals_deny TO tb_supervisor;
GRANT EXECUTE ON FUNCTION approval_json, as_text TO tb_supervisor, tb_edge;
GRANT EXECUTE ON FUNCTION journal, policy_versions TO tb_worker;
GRANT EXECUTE ON FUNCTION policy_versions TO tb_supervisor;

-- ---- The tool policy: its layers as documents, and the one way in which they change. Rights are the caller's.

-- Rows as the documents that people read and write.
CREATE FUNCTION tb.ceiling_document(c tb.tool_ceilings) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('allowed', c.allowed, 'denied', c.denied, 'maxToolCallsPerTurn', c.max_calls_per_turn) $$;
CREATE FUNCTION tb.policy_document(p tb.agent_tool_policies) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('profile', p.profile, 'allowed', p.allowed, 'denied', p.denied, 'ask', p.ask,
         'maxToolCallsPerTurn', p.max_calls_per_turn) $$;

-- An agent's layers; p_key: of this session too. A document is NULL where there is no row, no list, no layer; a session that is not
-- there has no version. No row: no such agent.
CREATE FUNCTION tb.policy_layers(p_tenant bigint, p_agent uuid, p_key text)
RETURNS TABLE (ceiling jsonb, ceiling_version integer, agent jsonb, agent_version integer, tools jsonb, session jsonb, session_version integer)
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT (SELECT tb.ceiling_document(c)
            FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant),
         coalesce((SELECT c.version FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant), 0),
         (SELECT tb.policy_document(p)
            FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent),
         coalesce((SELECT p.version FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent), 0),
         r.config->'tools', s.policy, s.policy_version
    FROM tb.agents a
    JOIN tb.agent_revisions r ON r.tenant_id = a.tenant_id AND r.agent_id = a.agent_id AND r.revision = a.revision
    LEFT JOIN tb.agent_sessions s ON s.tenant_id = a.tenant_id AND s.agent_id = a.agent_id AND s.session_key = p_key
                                 AND s.status <> 'deleted'
   WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL $$;

-- The whole document of one layer in place of the one that is there: of the tenant (p_agent NULL), of an agent (p_key NULL), of a
-- session; there p_doc may be NULL (no layer), and what it has of its parent stays. p_doc has every member its layer knows and has been
-- checked (proto/tools/policy.h). p_expect: the version it is meant to replace, 0 for none yet; NULL: any. 'stale': another one stands,
-- its version comes along. 'absent': there is no such agent or session. Changes are serial by layer, so that `before` in the audit row
-- is what was replaced.
CREATE FUNCTION tb.policy_put(p_tenant bigint, p_agent uuid, p_key text, p_doc jsonb, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE
  v_before jsonb; v_after jsonb := p_doc; v_version integer; v_session uuid; v_what text;
BEGIN
  IF p_agent IS NULL THEN
    v_what := 'ceiling';
    PERFORM pg_advisory_xact_lock(hashtextextended('tb.tool_ceilings', p_tenant));
    SELECT tb.ceiling_document(c), c.version
      INTO v_before, v_version FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant;
  ELSIF p_key IS NULL THEN
    v_what := 'agent';
    PERFORM FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      outcome := 'absent'; RETURN;
    END IF;
    SELECT tb.policy_document(p), p.version
      INTO v_before, v_version FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent;
  ELSE
    v_what := 'session';
    SELECT s.session_id, s.policy, s.policy_version INTO v_session, v_before, v_version FROM tb.agent_sessions s
     WHERE s.tenant_id = p_tenant AND s.agent_id = p_agent AND s.session_key = p_key AND s.status <> 'deleted' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      outcome := 'absent'; RETURN;
    END IF;
    IF v_before ? 'parent' THEN
      v_after := coalesce(v_after, '{}') || jsonb_build_object('parent', v_before->'parent');
    END IF;
  END IF;
  version := coalesce(v_version, 0);
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  version := version + 1;
  IF v_what = 'ceiling' THEN
    INSERT INTO tb.tool_ceilings AS c (tenant_id, allowed, denied, max_calls_per_turn, version)
    VALUES (p_tenant, ARRAY(SELECT jsonb_array_elements_text(p_doc->'allowed')), ARRAY(SELECT jsonb_array_elements_text(p_doc->'denied')),
            (p_doc->'maxToolCallsPerTurn')::smallint, version)
    ON CONFLICT (tenant_id) DO UPDATE SET allowed = excluded.allowed, denied = excluded.denied,
       max_calls_per_turn = excluded.max_calls_per_turn, version = excluded.version, updated_at = now();
  ELSIF v_what = 'agent' THEN
    INSERT INTO tb.agent_tool_policies AS p (tenant_id, agent_id, profile, allowed, denied, ask, max_calls_per_turn, version)
    VALUES (p_tenant, p_agent, p_doc->>'profile', ARRAY(SELECT jsonb_array_elements_text(p_doc->'allowed')),
            ARRAY(SELECT jsonb_array_elements_text(p_doc->'denied')), ARRAY(SELECT jsonb_array_elements_text(p_doc->'ask')),
            (p_doc->'maxToolCallsPerTurn')::smallint, version)
    ON CONFLICT (tenant_id, agent_id) DO UPDATE SET profile = excluded.profile, allowed = excluded.allowed, denied = excluded.denied,
       ask = excluded.ask, max_calls_per_turn = excluded.max_calls_per_turn, version = excluded.version, updated_at = now();
  ELSE
    UPDATE tb.agent_sessions s SET policy = v_after, policy_version = version WHERE s.tenant_id = p_tenant AND s.session_id = v_session;
  END IF;
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, p_audit, p_actor, 'policy.' || v_what, coalesce(v_session::text, p_agent::text, p_tenant::text),
          jsonb_build_object('agent', p_agent, 'sessionKey', p_key, 'version', version, 'before', v_before, 'after', v_after));
  outcome := 'done';
END $$;

REVOKE ALL ON FUNCTION ceiling_document, policy_document, policy_layers, policy_put FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ceiling_document, policy_document TO tb_edge, tb_worker;
GRANT EXECUTE ON FUNCTION policy_layers, policy_put TO tb_edge;
