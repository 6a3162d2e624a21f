-- SPDX-License-Identifier: Apache-2.0
-- The context of a session: compaction and its snapshots.

SET LOCAL search_path = tb;

-- What a model is shown of a session: first the summary in force, if there is one, then the messages from context_floor_seq on that are no
-- summary. A summary stands behind what it replaces, so one that stands before the floor (a reset came) is not in force.
ALTER TABLE agent_sessions
  ADD COLUMN context_summary_seq bigint NOT NULL DEFAULT 0,  -- 0: none
  ADD COLUMN context_set_seq bigint NOT NULL DEFAULT 0,      -- the lane's head when floor and summary were set last
  ADD COLUMN context_flushed_seq bigint NOT NULL DEFAULT 0;  -- and when the model saved to its memory last

-- A row is a state of the context: its summary, and the messages behind to_seq. Version n was in force until n + 1 was made.
ALTER TABLE agent_context_snapshots
  ADD COLUMN why text NOT NULL DEFAULT 'full' CHECK (why IN ('full', 'overflow', 'asked', 'restored')),
  ADD COLUMN restored integer;                               -- of a restoration: the version before which the context was as it is again

CREATE FUNCTION tb.context_set(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_from bigint, p_to bigint, p_summary bigint,
  p_before integer, p_after integer, p_why text, p_restored integer) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.agent_context_snapshots (tenant_id, session_id, version, from_seq, to_seq, summary_seq, tokens_before, tokens_after, run_id,
         why, restored)
  SELECT p_tenant, p_session, coalesce(max(c.version), 0) + 1, p_from, p_to, p_summary, p_before, p_after, p_run, p_why, p_restored
    FROM tb.agent_context_snapshots c WHERE c.tenant_id = p_tenant AND c.session_id = p_session;
  UPDATE tb.agent_sessions s SET context_floor_seq = p_to + 1, context_summary_seq = p_summary, context_set_seq = p_head
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
$$;

-- The item's last message is the summary of what stands up to "to": {"to", "before", "after", "why"}.
CREATE FUNCTION tb.act_compact(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_floor bigint; v_to bigint := (p_data->>'to')::bigint;
BEGIN
  SELECT greatest(s.context_floor_seq, 1) INTO STRICT v_floor FROM tb.agent_sessions s
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session FOR NO KEY UPDATE;
  IF NOT EXISTS (SELECT FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.seq = p_head
                  AND m.role = 'summary') OR v_to IS NULL OR v_to < v_floor - 1 OR v_to >= p_head THEN
    RAISE EXCEPTION 'a compaction ends with its summary, of messages that the context has' USING ERRCODE = '22023';
  END IF;
  PERFORM tb.context_set(p_tenant, p_session, p_run, p_head, least(v_floor, v_to), v_to, p_head, (p_data->>'before')::integer,
                         (p_data->>'after')::integer, p_data->>'why', NULL);
  RETURN NULL;
END $$;

-- The context is again as it was before version {"version"}. Appends a version; nothing is deleted.
CREATE FUNCTION tb.act_restore(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_version integer := (p_data->>'version')::integer; c tb.agent_context_snapshots;
BEGIN
  PERFORM FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session FOR NO KEY UPDATE;
  PERFORM FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.version = v_version;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no snapshot %', v_version USING ERRCODE = '22023';
  END IF;
  SELECT * INTO c FROM tb.agent_context_snapshots x
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.version = v_version - 1;
  PERFORM tb.context_set(p_tenant, p_session, p_run, p_head, coalesce(c.from_seq, 0), coalesce(c.to_seq, 0), coalesce(c.summary_seq, 0),
                         NULL, NULL, 'restored', v_version);
  RETURN NULL;
END $$;

-- The model had its chance to save to its memory what a compaction will take from it.
CREATE FUNCTION tb.act_flushed(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  UPDATE tb.agent_sessions s SET context_flushed_seq = p_head WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  RETURN NULL;
END $$;

-- From which message on a worker reads a lane: the start of its context, or, when that is more than p_bytes, the newest ones that are p_bytes
-- together, but in any case all of p_own's run that the context has. A loop, which stops: whatever the plan, it opens no long message more
-- than it must.
CREATE OR REPLACE FUNCTION tb.history_start(p_tenant bigint, p_session uuid, p_own bigint, p_bytes bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE m record; v_start bigint; v_bytes bigint := 0; v_floor bigint;
BEGIN
  SELECT s.context_floor_seq INTO v_floor FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  FOR m IN SELECT x.seq, x.content FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session
            AND x.seq >= v_floor ORDER BY x.seq DESC LIMIT 5000 LOOP
    v_bytes := v_bytes + octet_length(m.content::text);
    EXIT WHEN v_bytes > p_bytes AND m.seq < p_own AND v_start IS NOT NULL;
    v_start := m.seq;
  END LOOP;
  RETURN v_start;
END $$;

-- As clients read it.
CREATE FUNCTION tb.snapshot_json(c tb.agent_context_snapshots, p_summary text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('version', c.version, 'why', c.why, 'restored', c.restored, 'fromSeq', c.from_seq,
    'toSeq', c.to_seq, 'summarySeq', nullif(c.summary_seq, 0), 'tokensBefore', c.tokens_before, 'tokensAfter', c.tokens_after,
    'runId', c.run_id, 'createdAt', tb.as_text(c.created_at), 'summary', p_summary));
$$;

REVOKE ALL ON FUNCTION history_start, context_set, snapshot_json, act_compact, act_restore, act_flushed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION snapshot_json TO tb_edge;
