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
  v_floor bigint;
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
  SELECT CASE WHEN s.context_floor_seq <= v_to THEN s.context_floor_seq ELSE coalesce((SELECT max(m.seq) FROM tb.session_messages m
           WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.role = 'reset' AND m.seq <= v_to
             AND NOT m.content ? 'branchFrom'), 0) END
    INTO v_floor FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot, mode, queue_mode, policy, policy_version,
         parent_session_id, depth, user_id, title, meta, context_floor_seq)
  SELECT s.tenant_id, v_new, s.agent_id, v->>'sessionKey', (v->>'slot')::smallint, s.mode, s.queue_mode, s.policy, s.policy_version,
         s.parent_session_id, s.depth, s.user_id, s.title,
         s.meta || jsonb_build_object('forkedFrom', jsonb_build_object('sessionId', s.session_id, 'seq', v_to)), v_floor
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
         created_at)
  SELECT x.tenant_id, v_new, x.version, x.from_seq, x.to_seq, x.summary_seq, x.tokens_before, x.tokens_after, x.run_id, x.created_at
    FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.summary_seq <= v_to;
  RETURN NULL;
END $$;
