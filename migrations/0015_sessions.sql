-- SPDX-License-Identifier: Apache-2.0
-- What the sessions' API does to a transcript: lane jobs and the acts of their runs. And how sessions are listed and searched.

SET LOCAL search_path = tb;

-- ------------------------------------------------------------------ sessions and messages as people see them
-- The most recent first, of a tenant or of an agent. With the session's id: the place where a page goes on.
DROP INDEX agent_sessions_recent;
CREATE INDEX agent_sessions_recent ON agent_sessions (tenant_id, last_active_at DESC, session_id DESC);
CREATE INDEX agent_sessions_of_agent ON agent_sessions (tenant_id, agent_id, last_active_at DESC, session_id DESC);

-- A run that ends makes its session recent, once a minute at most: the update is not HOT.
CREATE FUNCTION tb.session_active() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  UPDATE tb.agent_sessions s SET last_active_at = now()
   WHERE s.tenant_id = NEW.tenant_id AND s.session_id = NEW.session_id AND s.last_active_at < now() - interval '1 minute';
  RETURN NULL;
END $$;
CREATE TRIGGER session_active AFTER INSERT ON agent_runs FOR EACH ROW WHEN (NEW.started_at IS NOT NULL) EXECUTE FUNCTION session_active();

CREATE FUNCTION tb.session_json(s tb.agent_sessions) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('sessionId', s.session_id, 'agentId', s.agent_id, 'agent',
    (SELECT a.name FROM tb.agents a WHERE a.tenant_id = s.tenant_id AND a.agent_id = s.agent_id), 'sessionKey', s.session_key,
    'status', s.status, 'mode', s.mode, 'queueMode', s.queue_mode, 'title', s.title, 'user', s.user_id,
    'parentSessionId', s.parent_session_id, 'messages', (SELECT l.head_seq FROM tb.lanes l WHERE l.tenant_id = s.tenant_id
    AND l.session_id = s.session_id), 'contextFrom', s.context_floor_seq, 'createdAt', tb.as_text(s.created_at),
    'lastActiveAt', tb.as_text(s.last_active_at))) || jsonb_build_object('meta', s.meta) $$;

-- A message as history and export have it, one JSON object: its members in this order, its time to the microsecond, its content as jsonb
-- prints it. What is imported comes out the same, byte by byte.
CREATE FUNCTION tb.message_line(m tb.session_messages) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT format('{"seq":%s,"role":"%s","step":%s%s,"createdAt":"%s","content":%s%s}', m.seq, m.role, m.step,
    coalesce(',"runId":"' || m.run_id || '"', ''), to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), m.content,
    coalesce(',"tokens":' || m.tokens, '')) $$;

-- A page of a transcript: from p_seq on downwards or upwards, p_rows of them or as many as are p_bytes together, and one in any case. A loop,
-- which stops: it opens no long message more than it must. By the caller's rights.
CREATE FUNCTION tb.messages_before(p_tenant bigint, p_session uuid, p_seq bigint, p_rows integer, p_bytes bigint)
RETURNS TABLE (seq bigint, line text) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE m tb.session_messages; v_bytes bigint := 0;
BEGIN
  FOR m IN SELECT * FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.seq < p_seq
            ORDER BY x.seq DESC LIMIT p_rows LOOP
    seq := m.seq; line := tb.message_line(m);
    EXIT WHEN v_bytes > 0 AND v_bytes + octet_length(line) > p_bytes;
    v_bytes := v_bytes + octet_length(line);
    RETURN NEXT;
  END LOOP;
END $$;
CREATE FUNCTION tb.messages_after(p_tenant bigint, p_session uuid, p_seq bigint, p_rows integer, p_bytes bigint)
RETURNS TABLE (seq bigint, line text) LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE m tb.session_messages; v_bytes bigint := 0;
BEGIN
  FOR m IN SELECT * FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.seq > p_seq
            ORDER BY x.seq LIMIT p_rows LOOP
    seq := m.seq; line := tb.message_line(m);
    EXIT WHEN v_bytes > 0 AND v_bytes + octet_length(line) > p_bytes;
    v_bytes := v_bytes + octet_length(line);
    RETURN NEXT;
  END LOOP;
END $$;

-- ------------------------------------------------------------------ search
-- The index of words is written by who searches, not by who appends: a run's commits cost what they did. A term is the hash of a scope (an
-- agent, or a session) and a word, so a list of postings holds one agent's or one session's messages and never another tenant's; GIN has
-- no leading column for the tenant. Nobody but these functions reads it.
CREATE TABLE message_terms (
  tenant_id bigint NOT NULL, session_id uuid NOT NULL, seq bigint NOT NULL, created_at timestamptz NOT NULL,
  terms bigint[] NOT NULL,
  PRIMARY KEY (tenant_id, session_id, seq)
);
CREATE INDEX message_terms_words ON message_terms USING gin (terms) WITH (fastupdate = off);
CREATE TABLE session_search (                        -- how far a session's messages are in it
  tenant_id bigint NOT NULL, session_id uuid NOT NULL, upto_seq bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, session_id)
);
CREATE TABLE agent_search (                          -- sessions that were active up to then are
  tenant_id bigint NOT NULL, agent_id uuid NOT NULL, upto timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (tenant_id, agent_id)
);
ALTER TABLE message_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE session_search ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_search ENABLE ROW LEVEL SECURITY;

-- What people and models said; not what a model thought.
CREATE FUNCTION tb.message_text(p_content jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT left(coalesce(string_agg(b.text #>> '{}', ' ' ORDER BY b.n), ''), 100000)
    FROM jsonb_path_query(p_content, '$.blocks[*] ? (@.type != "reasoning").text') WITH ORDINALITY b(text, n) $$;

CREATE FUNCTION tb.search_terms(p_scope uuid, p_text text) RETURNS bigint[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(array_agg(hashtextextended(p_scope || w, 0)), '{}') FROM unnest(tsvector_to_array(to_tsvector('simple', p_text))) w $$;

-- Takes in p_most messages of a session at most; how many it took. Against its deletion it holds the session's row. 0 also while somebody
-- else does this.
CREATE FUNCTION tb.search_index(p_tenant bigint, p_session uuid, p_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_agent uuid; v_from bigint; v_to bigint; v_head bigint;
BEGIN
  SELECT l.head_seq INTO v_head FROM tb.lanes l WHERE l.tenant_id = p_tenant AND l.session_id = p_session;
  IF v_head <= coalesce((SELECT x.upto_seq FROM tb.session_search x WHERE x.tenant_id = p_tenant AND x.session_id = p_session), 0) THEN
    RETURN 0;
  END IF;
  SELECT s.agent_id INTO v_agent FROM tb.agent_sessions s
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session AND s.status <> 'deleted' FOR KEY SHARE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  INSERT INTO tb.session_search (tenant_id, session_id) VALUES (p_tenant, p_session) ON CONFLICT DO NOTHING;
  SELECT x.upto_seq INTO v_from FROM tb.session_search x
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  WITH taken AS (
    INSERT INTO tb.message_terms (tenant_id, session_id, seq, created_at, terms)
    SELECT m.tenant_id, m.session_id, m.seq, m.created_at, tb.search_terms(v_agent, t.said) || tb.search_terms(p_session, t.said)
      FROM (SELECT * FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.seq > v_from
             ORDER BY x.seq LIMIT p_most) m, LATERAL (SELECT tb.message_text(m.content) AS said) t
    RETURNING seq)
  SELECT max(seq) INTO v_to FROM taken;
  UPDATE tb.session_search x SET upto_seq = v_to WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND v_to IS NOT NULL;
  RETURN coalesce(v_to - v_from, 0);
END $$;

-- All of a session, as long as the time lasts; whether that is done. A session's numbers have no gaps.
CREATE FUNCTION tb.search_session(p_tenant bigint, p_session uuid, p_until timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  LOOP
    EXIT WHEN tb.search_index(p_tenant, p_session, 200) = 0;
    EXIT WHEN clock_timestamp() > p_until;
  END LOOP;
  RETURN coalesce((SELECT l.head_seq <= coalesce(x.upto_seq, 0) FROM tb.lanes l
    LEFT JOIN tb.session_search x USING (tenant_id, session_id) WHERE l.tenant_id = p_tenant AND l.session_id = p_session), true);
END $$;

-- The sessions of an agent that were active since the last time, the oldest first. What is written of their activity is a minute old at most.
CREATE FUNCTION tb.search_agent(p_tenant bigint, p_agent uuid, p_until timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_upto timestamptz; v_done boolean := true; s record;
BEGIN
  INSERT INTO tb.agent_search (tenant_id, agent_id) VALUES (p_tenant, p_agent) ON CONFLICT DO NOTHING;
  SELECT x.upto INTO v_upto FROM tb.agent_search x WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN false; END IF;
  FOR s IN SELECT x.session_id, x.last_active_at FROM tb.agent_sessions x WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent
              AND x.last_active_at >= v_upto - interval '2 minutes' AND x.status <> 'deleted'
            ORDER BY x.last_active_at, x.session_id LOOP
    v_done := clock_timestamp() < p_until AND tb.search_session(p_tenant, s.session_id, p_until);
    EXIT WHEN NOT v_done;
    v_upto := greatest(v_upto, s.last_active_at);
  END LOOP;
  UPDATE tb.agent_search x SET upto = v_upto WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent;
  RETURN v_done;
END $$;

-- Messages that hold all words of a text, the newest first: of a session (p_session), else of an agent's sessions. The first row says in
-- complete whether all messages were looked at (else: ask again), and nothing else. The tenant is the edge's own.
CREATE FUNCTION tb.message_search(p_session uuid, p_agent uuid, p_text text, p_before timestamptz, p_before_seq bigint, p_rows integer)
RETURNS TABLE (session_id uuid, session_key text, seq bigint, role text, run_id uuid, created_at timestamptz, excerpt text, complete boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_tenant bigint := tb.edge_tenant(); v_terms bigint[] := tb.search_terms(coalesce(p_session, p_agent), p_text);
  v_until timestamptz := clock_timestamp() + interval '1 second';
BEGIN
  complete := CASE WHEN p_session IS NOT NULL THEN tb.search_session(v_tenant, p_session, v_until)
                   ELSE tb.search_agent(v_tenant, p_agent, v_until) END;
  RETURN NEXT;
  IF v_terms = '{}' THEN RETURN; END IF;
  RETURN QUERY
  -- By its words alone: any other condition would offer the planner an index over all messages of the tenant.
  WITH hit AS MATERIALIZED (SELECT t.tenant_id, t.session_id, t.seq, t.created_at FROM tb.message_terms t WHERE t.terms @> v_terms),
  page AS MATERIALIZED (SELECT h.* FROM hit h WHERE h.tenant_id = v_tenant AND (h.created_at, h.seq) < (p_before, p_before_seq)
            ORDER BY h.created_at DESC, h.seq DESC LIMIT p_rows)
  SELECT p.session_id, s.session_key, p.seq, m.role, m.run_id, p.created_at,
         ts_headline('simple', tb.message_text(m.content), plainto_tsquery('simple', p_text),
                     'StartSel="", StopSel="", MaxFragments=1, MaxWords=40, MinWords=20'), NULL::boolean
    FROM page p JOIN tb.agent_sessions s ON s.tenant_id = p.tenant_id AND s.session_id = p.session_id AND s.status <> 'deleted'
    JOIN tb.session_messages m ON m.tenant_id = p.tenant_id AND m.session_id = p.session_id AND m.seq = p.seq
   ORDER BY p.created_at DESC, p.seq DESC;
END $$;

REVOKE ALL ON FUNCTION session_active, session_json, message_line, messages_before, messages_after, message_text, search_terms, search_index,
  search_session, search_agent, message_search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_json, message_line, messages_before, messages_after, message_search TO tb_edge;

-- ------------------------------------------------------------------ lane jobs
-- A job is a row of the queue as a message is: in its lane's order, fenced, done by a worker, whose one act below it is. Its parameters
-- stay in run_inputs until it ends.
ALTER TABLE agent_run_queue DROP CONSTRAINT agent_run_queue_mode_check,
  ADD CONSTRAINT agent_run_queue_mode_check CHECK (mode IN ('steer','collect','followup','interrupt','announce',
    'append','compact','reset','import','archive','fork','regenerate','edit','delete'));

CREATE FUNCTION tb.job_input(p_tenant bigint, p_run uuid) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT i.body FROM tb.run_inputs i WHERE i.tenant_id = p_tenant AND i.run_id = p_run $$;

-- The acceptance of a deletion, in its transaction: the lane takes nothing more, its key is free, what waits in it is cancelled, what runs
-- or asks a person is to end. The rest is the job's. No pause keeps it.
CREATE FUNCTION tb.session_deleting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE q tb.agent_run_queue;
BEGIN
  UPDATE tb.lanes l SET closed = true, blocked = false WHERE l.tenant_id = NEW.tenant_id AND l.session_id = NEW.session_id;
  UPDATE tb.agent_sessions s SET status = 'deleted', session_key = 'deleted:' || s.session_id
   WHERE s.tenant_id = NEW.tenant_id AND s.session_id = NEW.session_id;
  DELETE FROM tb.queue_pauses x WHERE x.scope = 'lane' AND x.tenant_id = NEW.tenant_id AND x.object = NEW.session_id;
  FOR q IN SELECT * FROM tb.agent_run_queue x WHERE x.tenant_id = NEW.tenant_id AND x.session_id = NEW.session_id
              AND x.run_id <> NEW.run_id ORDER BY x.lane_pos LOOP
    IF q.attempt = 0 THEN
      PERFORM tb.archive_waiting(q, 'cancelled', NULL, 'session_deleted', 'its session was deleted', NULL);
      CONTINUE;
    END IF;
    UPDATE tb.agent_run_queue x SET cancel_requested = true, cancel_code = 'session_deleted'
     WHERE x.tenant_id = q.tenant_id AND x.run_id = q.run_id AND NOT x.cancel_requested;
    IF q.state = 'waiting' THEN
      PERFORM tb.approvals_close(q.tenant_id, q.run_id, 'denied', 'the session was deleted', 'queue');
      PERFORM tb.approvals_release(q.tenant_id, q.run_id);
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER session_deleting AFTER INSERT ON agent_run_queue FOR EACH ROW WHEN (NEW.mode = 'delete') EXECUTE FUNCTION session_deleting();

CREATE FUNCTION tb.act_append(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v jsonb := tb.job_input(p_tenant, p_run);
BEGIN
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
  VALUES (p_tenant, p_session, p_head + 1, p_run, v->>'role', v->'content');
  RETURN p_head + 1;
END $$;

-- What stands before the mark is shown to no model any more; people see it.
CREATE FUNCTION tb.act_reset(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
  VALUES (p_tenant, p_session, p_head + 1, p_run, 'reset', '{"blocks":[]}');
  UPDATE tb.agent_sessions s SET context_floor_seq = p_head + 1 WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  RETURN p_head + 1;
END $$;

CREATE FUNCTION tb.act_archive(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  UPDATE tb.agent_sessions s SET status = CASE WHEN (tb.job_input(p_tenant, p_run)->>'archived')::boolean THEN 'archived' ELSE 'active' END
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session AND s.status <> 'deleted';
  RETURN NULL;
END $$;

-- The last message of a user, or another text in its place, is answered anew: a mark says that what stands from that message on is not
-- shown to models any more, a copy of it follows, and the run is a turn whose message that copy is.
CREATE FUNCTION tb.branch(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_content jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE m tb.session_messages;
BEGIN
  SELECT x.* INTO m FROM tb.session_messages x JOIN tb.agent_sessions s ON s.tenant_id = x.tenant_id AND s.session_id = x.session_id
   WHERE x.tenant_id = p_tenant AND x.session_id = p_session AND x.role = 'user' AND x.seq >= s.context_floor_seq
   ORDER BY x.seq DESC LIMIT 1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the session has no message of a user that could be answered again: none was written, or a reset or compaction hides it'
      USING ERRCODE = '22023';
  END IF;
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content, tokens)
  VALUES (p_tenant, p_session, p_head + 1, p_run, 'reset', jsonb_build_object('blocks', '[]'::jsonb, 'branchFrom', m.seq), NULL),
         (p_tenant, p_session, p_head + 2, p_run, 'user', coalesce(p_content, m.content), CASE WHEN p_content IS NULL THEN m.tokens END);
  UPDATE tb.agent_run_queue q SET kind = 'turn', mode = 'followup', input_seq = p_head + 2
   WHERE q.tenant_id = p_tenant AND q.run_id = p_run;
  DELETE FROM tb.run_inputs i WHERE i.tenant_id = p_tenant AND i.run_id = p_run;
  RETURN p_head + 2;
END $$;
CREATE FUNCTION tb.act_regenerate(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$ SELECT tb.branch(p_tenant, p_session, p_run, p_head, NULL) $$;
CREATE FUNCTION tb.act_edit(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT tb.branch(p_tenant, p_session, p_run, p_head, tb.job_input(p_tenant, p_run)->'content') $$;

-- A new session of the same agent with a copy of the transcript up to a message. Its policy comes along: a copy may do no more.
CREATE FUNCTION tb.act_fork(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
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
                AND m.role = 'assistant' AND m.content @> '{"blocks":[{"type":"tool_call"}]}') THEN
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

-- Lines of an export, checked by the edge in themselves; here against the session: they go on where it ends, and are not messages of its
-- own runs.
CREATE FUNCTION tb.act_import(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v jsonb := tb.job_input(p_tenant, p_run)->'messages'; v_count bigint := jsonb_array_length(v); v_line bigint; v_run text;
BEGIN
  SELECT x.n INTO v_line FROM jsonb_array_elements(v) WITH ORDINALITY x(m, n) WHERE (x.m->>'seq')::bigint <> p_head + x.n ORDER BY x.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'line %: its seq is %, but the session''s transcript ends at %, so that seq % has to follow', v_line,
      v->(v_line - 1)::integer->>'seq', p_head, p_head + v_line USING ERRCODE = '22023';
  END IF;
  SELECT x.n, x.m->>'runId' INTO v_line, v_run FROM jsonb_array_elements(v) WITH ORDINALITY x(m, n)
    JOIN tb.agent_runs r ON r.tenant_id = p_tenant AND r.run_id = (x.m->>'runId')::uuid AND r.session_id = p_session ORDER BY x.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'line %: its run % is one of this session already', v_line, v_run USING ERRCODE = '22023';
  END IF;
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, created_at, run_id, step, role, content, tokens)
  SELECT p_tenant, p_session, p_head + x.n, (x.m->>'createdAt')::timestamptz, (x.m->>'runId')::uuid, (x.m->>'step')::smallint, x.m->>'role',
         x.m->'content', (x.m->>'tokens')::integer
    FROM jsonb_array_elements(v) WITH ORDINALITY x(m, n);
  UPDATE tb.agent_sessions s SET context_floor_seq = greatest(s.context_floor_seq, f.seq)
    FROM (SELECT max((x.m->>'seq')::bigint) AS seq FROM jsonb_array_elements(v) x(m)
           WHERE x.m->>'role' = 'reset' AND NOT x.m->'content' ? 'branchFrom') f
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session AND f.seq IS NOT NULL;
  RETURN p_head + v_count;
END $$;

-- One piece of a deletion: some runs with all that is kept of them, the newest first (what was merged goes before what took it), or, when
-- there are none, some messages.
CREATE FUNCTION tb.act_delete_some(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_runs uuid[]; v_last bigint;
BEGIN
  SELECT array_agg(x.run_id) INTO v_runs FROM (SELECT r.run_id FROM tb.agent_runs r WHERE r.tenant_id = p_tenant AND r.session_id = p_session
    AND r.run_id <> p_run ORDER BY r.lane_seq DESC LIMIT 50) x;
  IF v_runs IS NOT NULL THEN
    DELETE FROM tb.run_events e USING unnest(v_runs) u(id) WHERE e.tenant_id = p_tenant AND e.run_id = u.id;
    DELETE FROM tb.tool_executions t USING unnest(v_runs) u(id) WHERE t.tenant_id = p_tenant AND t.run_id = u.id;
    DELETE FROM tb.approvals a USING unnest(v_runs) u(id) WHERE a.tenant_id = p_tenant AND a.run_id = u.id;
    DELETE FROM tb.dead_runs d USING unnest(v_runs) u(id) WHERE d.tenant_id = p_tenant AND d.run_id = u.id;
    DELETE FROM tb.subagent_spawns s USING unnest(v_runs) u(id) WHERE s.tenant_id = p_tenant AND s.parent_run_id = u.id;
    DELETE FROM tb.agent_runs r USING unnest(v_runs) u(id) WHERE r.tenant_id = p_tenant AND r.run_id = u.id;
    RETURN NULL;
  END IF;
  SELECT max(x.seq) INTO v_last FROM (SELECT m.seq FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session
    ORDER BY m.seq LIMIT 1000) x;
  DELETE FROM tb.message_terms t WHERE t.tenant_id = p_tenant AND t.session_id = p_session AND t.seq <= v_last;
  DELETE FROM tb.session_messages m WHERE m.tenant_id = p_tenant AND m.session_id = p_session AND m.seq <= v_last;
  RETURN NULL;
END $$;

-- The last piece. The session's row is taken first: a search that is under way holds it, and may have written since.
CREATE FUNCTION tb.act_delete(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  DELETE FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  DELETE FROM tb.message_terms t WHERE t.tenant_id = p_tenant AND t.session_id = p_session;
  DELETE FROM tb.session_search x WHERE x.tenant_id = p_tenant AND x.session_id = p_session;
  DELETE FROM tb.agent_context_snapshots x WHERE x.tenant_id = p_tenant AND x.session_id = p_session;
  DELETE FROM tb.approvals a WHERE a.tenant_id = p_tenant AND a.session_id = p_session;
  DELETE FROM tb.queue_pauses x WHERE x.scope = 'lane' AND x.tenant_id = p_tenant AND x.object = p_session;
  DELETE FROM tb.lanes l WHERE l.tenant_id = p_tenant AND l.session_id = p_session;
  RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION job_input, session_deleting, act_append, act_reset, act_archive, branch, act_regenerate, act_edit, act_fork, act_import,
  act_delete_some, act_delete FROM PUBLIC;
