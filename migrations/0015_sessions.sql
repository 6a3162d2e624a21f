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
