-- SPDX-License-Identifier: Apache-2.0
-- Lane jobs that restore a snapshot. And which state of the context a session had at a message, so that a copy up to there has it too.

SET LOCAL search_path = tb;

ALTER TABLE agent_run_queue DROP CONSTRAINT agent_run_queue_mode_check,
  ADD CONSTRAINT agent_run_queue_mode_check CHECK (mode IN ('steer','collect','followup','interrupt','announce',
    'append','compact','reset','import','archive','fork','regenerate','edit','delete','restore'));

-- ------------------------------------------------------------------ states of the context
-- The lane's head when the state was made: a compaction's is its summary; of older restorations the nearest that is known.
ALTER TABLE agent_context_snapshots ADD COLUMN head_seq bigint NOT NULL DEFAULT 0;
UPDATE agent_context_snapshots c SET head_seq = (SELECT max(x.summary_seq) FROM agent_context_snapshots x
  WHERE x.tenant_id = c.tenant_id AND x.session_id = c.session_id AND x.version <= c.version);

CREATE OR REPLACE FUNCTION tb.context_set(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_from bigint, p_to bigint,
  p_summary bigint, p_before integer, p_after integer, p_why text, p_restored integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.agent_context_snapshots (tenant_id, session_id, version, from_seq, to_seq, summary_seq, tokens_before, tokens_after, run_id,
         why, restored, head_seq)
  SELECT p_tenant, p_session, coalesce(max(c.version), 0) + 1, p_from, p_to, p_summary, p_before, p_after, p_run, p_why, p_restored, p_head
    FROM tb.agent_context_snapshots c WHERE c.tenant_id = p_tenant AND c.session_id = p_session;
  UPDATE tb.agent_sessions s SET context_floor_seq = p_to + 1, context_summary_seq = p_summary, context_set_seq = p_head
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
$$;

-- The last mark up to a message that hides all that stands before it; 0: none.
CREATE FUNCTION tb.context_reset(p_tenant bigint, p_session uuid, p_upto bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(max(m.seq), 0) FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session
     AND m.role = 'reset' AND m.seq <= p_upto AND NOT m.content ? 'branchFrom' $$;

-- The context is again as it was before a version: the one that a lane job names, or {"version"}. Appends a version; nothing is deleted. What
-- a reset hid since stays hidden.
CREATE OR REPLACE FUNCTION tb.act_restore(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_version integer := coalesce(p_data->>'version', tb.job_input(p_tenant, p_run)->>'version')::integer;
  v_last integer; v_reset bigint; c tb.agent_context_snapshots;
BEGIN
  PERFORM FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session FOR NO KEY UPDATE;
  SELECT max(x.version) INTO v_last FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session;
  PERFORM FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.version = v_version;
  IF NOT FOUND AND v_last IS NULL THEN
    RAISE EXCEPTION 'there is no snapshot %: nothing of this session has been compacted', v_version USING ERRCODE = '22023';
  ELSIF NOT FOUND THEN
    RAISE EXCEPTION 'there is no snapshot %: the last one of this session is %', v_version, v_last USING ERRCODE = '22023';
  END IF;
  SELECT * INTO c FROM tb.agent_context_snapshots x
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.version < v_version ORDER BY x.version DESC LIMIT 1;
  v_reset := tb.context_reset(p_tenant, p_session, p_head);
  IF v_reset > coalesce(greatest(c.summary_seq, c.to_seq), 0) THEN
    c.from_seq := 0; c.to_seq := v_reset - 1; c.summary_seq := 0;
  END IF;
  PERFORM tb.context_set(p_tenant, p_session, p_run, p_head, coalesce(c.from_seq, 0), coalesce(c.to_seq, 0), coalesce(c.summary_seq, 0),
                         NULL, NULL, 'restored', v_version);
  RETURN NULL;
END $$;

-- A new session of the same agent with a copy of the transcript up to a message, and the context that it had there. Its policy comes along:
-- a copy may do no more.
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
                AND m.role = 'assistant' AND m.content @> '{"blocks":[{"type":"tool_call"}]}') THEN
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

REVOKE ALL ON FUNCTION context_reset FROM PUBLIC;
