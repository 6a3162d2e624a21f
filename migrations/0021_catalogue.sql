-- SPDX-License-Identifier: Apache-2.0
-- The catalogue by HTTP: agents and their revisions, tool executions, memory, workflows, trees of spawned sessions. All of it by the caller's rights:
-- an edge sees its tenant.

SET LOCAL search_path = tb;

-- A page is built row by row, in the order of an index, and ends with p_limit rows or when p_window were looked at: a filter that fits few
-- makes a short page and a place to go on from, never a long read.

CREATE FUNCTION tb.noted(p_tenant bigint, p_audit uuid, p_actor text, p_action text, p_object text, p_detail jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, p_audit, p_actor, p_action, p_object, jsonb_strip_nulls(p_detail)) $$;

-- ------------------------------------------------------------------ agents
-- Members that say nothing (null) left out.
CREATE FUNCTION tb.config_said(p_config jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') FROM jsonb_each(p_config) m WHERE m.value <> 'null' $$;

CREATE FUNCTION tb.agent_json(p_tenant bigint, p_agent uuid) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT tb.config_said(r.config) || jsonb_build_object('id', a.agent_id, 'name', a.name, 'revision', a.revision, 'maxRunning', a.max_running,
         'createdAt', tb.as_text(a.created_at), 'updatedAt', tb.as_text(r.created_at), 'updatedBy', r.created_by)
    FROM tb.agents a JOIN tb.agent_revisions r ON r.tenant_id = a.tenant_id AND r.agent_id = a.agent_id AND r.revision = a.revision
   WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL $$;

-- Without what may be long (a system prompt): that is in agent_json.
CREATE FUNCTION tb.agents_page(p_tenant bigint, p_before uuid, p_limit integer, p_window integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE a tb.agents; v_rows jsonb[] := '{}'; v_seen integer := 0; v_last uuid; v_next uuid;
BEGIN
  FOR a IN SELECT * FROM tb.agents x WHERE x.tenant_id = p_tenant AND x.agent_id < p_before ORDER BY x.agent_id DESC LIMIT p_window LOOP
    IF a.deleted_at IS NULL THEN
      IF cardinality(v_rows) = p_limit THEN v_next := v_last; EXIT; END IF;
      v_rows := v_rows || (SELECT jsonb_strip_nulls(jsonb_build_object('id', a.agent_id, 'name', a.name, 'revision', a.revision,
                  'maxRunning', a.max_running, 'model', r.config->'model', 'queueMode', r.config->'queueMode',
                  'createdAt', tb.as_text(a.created_at), 'updatedAt', tb.as_text(r.created_at), 'updatedBy', r.created_by))
                  FROM tb.agent_revisions r WHERE r.tenant_id = p_tenant AND r.agent_id = a.agent_id AND r.revision = a.revision);
    END IF;
    v_seen := v_seen + 1;
    v_last := a.agent_id;
  END LOOP;
  IF v_next IS NULL AND v_seen = p_window THEN v_next := v_last; END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('agents', to_jsonb(v_rows), 'next', v_next));
END $$;

-- 'done'; 'taken': another agent has the name.
CREATE FUNCTION tb.agent_create(p_tenant bigint, p_agent uuid, p_name text, p_config jsonb, p_max_running integer, p_profile text,
  p_audit uuid, p_actor text, OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  version := 1;
  INSERT INTO tb.agents (tenant_id, agent_id, name, max_running) VALUES (p_tenant, p_agent, p_name, coalesce(p_max_running, 1000))
  ON CONFLICT (tenant_id, name) WHERE deleted_at IS NULL DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'taken'; RETURN;
  END IF;
  INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)
  VALUES (p_tenant, p_agent, 1, tb.config_said(p_config), p_actor);
  INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) VALUES (p_tenant, p_agent, p_profile);
  PERFORM tb.noted(p_tenant, p_audit, p_actor, 'agent.create', p_agent::text,
                   jsonb_build_object('name', p_name, 'revision', 1, 'profile', p_profile));
  outcome := 'done'; json := tb.agent_json(p_tenant, p_agent);
END $$;

-- Name, maxRunning (NULL: stays) and configuration: in the place of what is there (p_whole), or its members over it. Whatever changes makes a
-- revision; what changes nothing makes none. 'absent', 'stale' (another revision stands), 'taken' (another agent has the name), 'done'.
CREATE FUNCTION tb.agent_change(p_tenant bigint, p_agent uuid, p_config jsonb, p_whole boolean, p_name text, p_max_running integer, p_what text,
  p_expect integer, p_audit uuid, p_actor text, OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE a tb.agents; v_old jsonb; v_new jsonb; v_name text; v_most integer;
BEGIN
  SELECT * INTO a FROM tb.agents x WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := a.revision;
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  SELECT tb.config_said(r.config) INTO STRICT v_old FROM tb.agent_revisions r
   WHERE r.tenant_id = p_tenant AND r.agent_id = p_agent AND r.revision = a.revision;
  v_new := tb.config_said(CASE WHEN p_whole THEN p_config ELSE v_old || p_config END);
  v_name := coalesce(p_name, a.name);
  v_most := coalesce(p_max_running, a.max_running);
  outcome := 'done';
  IF (v_new, v_name, v_most) IS DISTINCT FROM (v_old, a.name, a.max_running) THEN
    version := version + 1;
    BEGIN
      UPDATE tb.agents x SET name = v_name, max_running = v_most, revision = agent_change.version
       WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent;
    EXCEPTION WHEN unique_violation THEN
      outcome := 'taken'; version := a.revision; RETURN;
    END;
    INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by) VALUES (p_tenant, p_agent, version, v_new, p_actor);
    PERFORM tb.noted(p_tenant, p_audit, p_actor, p_what, p_agent::text, jsonb_build_object('name', a.name, 'revision', version,
      'renamed', CASE WHEN v_name <> a.name THEN v_name END, 'maxRunning', CASE WHEN v_most <> a.max_running THEN v_most END,
      'changed', (SELECT jsonb_agg(k ORDER BY k) FROM (SELECT jsonb_object_keys(v_old) UNION SELECT jsonb_object_keys(v_new)) u(k)
                   WHERE v_old->k IS DISTINCT FROM v_new->k)));
  END IF;
  json := tb.agent_json(p_tenant, p_agent);
END $$;

CREATE FUNCTION tb.agent_restore(p_tenant bigint, p_agent uuid, p_revision integer, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_config jsonb;
BEGIN
  SELECT r.config INTO v_config FROM tb.agent_revisions r WHERE r.tenant_id = p_tenant AND r.agent_id = p_agent AND r.revision = p_revision;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  SELECT c.outcome, c.version, c.json INTO outcome, version, json
    FROM tb.agent_change(p_tenant, p_agent, v_config, true, NULL, NULL, 'agent.restore', p_expect, p_audit, p_actor) c;
END $$;

-- Its configuration (NULL: the present one), tool policy and workflow under another name; not what it remembers, nor its sessions.
CREATE FUNCTION tb.agent_clone(p_tenant bigint, p_from uuid, p_revision integer, p_agent uuid, p_name text, p_workflow uuid, p_audit uuid,
  p_actor text, OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE a tb.agents; v_config jsonb;
BEGIN
  version := 1;
  SELECT * INTO a FROM tb.agents x WHERE x.tenant_id = p_tenant AND x.agent_id = p_from AND x.deleted_at IS NULL;
  SELECT r.config INTO v_config FROM tb.agent_revisions r
   WHERE r.tenant_id = p_tenant AND r.agent_id = a.agent_id AND r.revision = coalesce(p_revision, a.revision);
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  INSERT INTO tb.agents (tenant_id, agent_id, name, max_running) VALUES (p_tenant, p_agent, p_name, a.max_running)
  ON CONFLICT (tenant_id, name) WHERE deleted_at IS NULL DO NOTHING;
  IF NOT FOUND THEN
    outcome := 'taken'; RETURN;
  END IF;
  INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)
  VALUES (p_tenant, p_agent, 1, tb.config_said(v_config), p_actor);
  INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile, allowed, denied, ask, max_calls_per_turn, limits)
  SELECT p_tenant, p_agent, p.profile, p.allowed, p.denied, p.ask, p.max_calls_per_turn, p.limits
    FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_from;
  WITH made AS (INSERT INTO tb.workflows (tenant_id, workflow_id, agent_id, name)
    SELECT p_tenant, p_workflow, p_agent, w.name FROM tb.workflows w WHERE w.tenant_id = p_tenant AND w.agent_id = p_from AND w.name = 'main'
    RETURNING workflow_id)
  INSERT INTO tb.workflow_versions (tenant_id, workflow_id, version, doc, author)
  SELECT p_tenant, made.workflow_id, 1, v.doc, p_actor FROM made, tb.workflows w
    JOIN tb.workflow_versions v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.workflow_id AND v.version = w.version
   WHERE w.tenant_id = p_tenant AND w.agent_id = p_from AND w.name = 'main';
  PERFORM tb.noted(p_tenant, p_audit, p_actor, 'agent.clone', p_agent::text, jsonb_build_object('name', p_name, 'revision', 1,
    'from', p_from, 'fromRevision', coalesce(p_revision, a.revision)));
  outcome := 'done'; json := tb.agent_json(p_tenant, p_agent);
END $$;

-- Its name is free; sessions, runs, revisions and memory stay. The turns of it that are live come along: who asked has them cancelled.
CREATE FUNCTION tb.agent_remove(p_tenant bigint, p_agent uuid, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE a tb.agents;
BEGIN
  SELECT * INTO a FROM tb.agents x WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := a.revision;
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.agents x SET deleted_at = now() WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent;
  PERFORM tb.noted(p_tenant, p_audit, p_actor, 'agent.delete', p_agent::text, jsonb_build_object('name', a.name, 'revision', version));
  outcome := 'done';
  json := coalesce((SELECT jsonb_agg(q.run_id) FROM (SELECT x.run_id FROM tb.agent_run_queue x
                     WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.kind = 'turn' LIMIT 10000) q), '[]')::text;
END $$;

CREATE FUNCTION tb.revisions_page(p_tenant bigint, p_agent uuid, p_before integer, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  WITH found AS MATERIALIZED (SELECT r.revision, r.config->'model' AS model, r.created_by, r.created_at FROM tb.agent_revisions r
    WHERE r.tenant_id = p_tenant AND r.agent_id = p_agent AND r.revision < p_before ORDER BY r.revision DESC LIMIT p_limit + 1),
  shown AS (SELECT f.* FROM found f ORDER BY f.revision DESC LIMIT p_limit)
  SELECT jsonb_strip_nulls(jsonb_build_object('revisions', coalesce((SELECT jsonb_agg(jsonb_build_object('revision', s.revision,
    'model', s.model, 'createdBy', s.created_by, 'createdAt', tb.as_text(s.created_at)) ORDER BY s.revision DESC) FROM shown s), '[]'),
    'next', CASE WHEN (SELECT count(*) FROM found) > p_limit THEN (SELECT min(s.revision) FROM shown s) END))
    FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL $$;

CREATE FUNCTION tb.revision_json(p_tenant bigint, p_agent uuid, p_revision integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT tb.config_said(r.config) || jsonb_build_object('id', a.agent_id, 'revision', r.revision, 'current', r.revision = a.revision,
         'createdBy', r.created_by, 'createdAt', tb.as_text(r.created_at))
    FROM tb.agents a JOIN tb.agent_revisions r ON r.tenant_id = a.tenant_id AND r.agent_id = a.agent_id
   WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL AND r.revision = p_revision $$;

-- ------------------------------------------------------------------ tool executions
-- Its id is what a tool that knows repeated calls was sent with it: run:step:call.
CREATE FUNCTION tb.execution_json(t tb.tool_executions, p_whole boolean) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('id', t.run_id || ':' || t.step || ':' || t.call_no, 'runId', t.run_id, 'step', t.step,
    'call', t.call_no, 'callId', t.call_id, 'sessionId', t.session_id, 'agentId', (SELECT s.agent_id FROM tb.agent_sessions s
    WHERE s.tenant_id = t.tenant_id AND s.session_id = t.session_id), 'tool', t.tool, 'effect', t.effect, 'state', t.state,
    'attempt', t.attempt, 'policyVersion', t.policy_version, 'startedAt', tb.as_text(t.started_at), 'finishedAt', tb.as_text(t.finished_at),
    'durationMs', t.duration_ms, 'outputBytes', t.output_bytes, 'truncated', t.truncated, 'exitCode', t.exit_code, 'signal', t.signal,
    'errorClass', t.error_class, 'error', CASE WHEN p_whole THEN t.error ELSE left(t.error, 500) END))
    || CASE WHEN p_whole THEN jsonb_build_object('input', t.input, 'output', t.output) ELSE '{}' END $$;

-- The newest first: by run, step and call. The executions of one run and those of one session are found by their indexes.
CREATE FUNCTION tb.executions_page(p_tenant bigint, p_before uuid, p_step integer, p_call integer, p_agent uuid, p_session uuid, p_run uuid,
  p_tool text, p_state text, p_limit integer, p_window integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE t tb.tool_executions; v_runs uuid[]; v_rows jsonb[] := '{}'; v_seen integer := 0; v_last text; v_next text; v_scan refcursor;
BEGIN
  IF p_run IS NOT NULL THEN
    OPEN v_scan FOR SELECT * FROM tb.tool_executions x WHERE x.tenant_id = p_tenant AND x.run_id = p_run
      AND (x.run_id, x.step, x.call_no) < (p_before, p_step, p_call) ORDER BY x.run_id DESC, x.step DESC, x.call_no DESC LIMIT p_window;
  ELSIF p_session IS NOT NULL THEN
    SELECT array_agg(r.run_id ORDER BY r.run_id DESC) INTO v_runs FROM (
      (SELECT e.run_id FROM tb.agent_runs e WHERE e.tenant_id = p_tenant AND e.session_id BETWEEN p_session AND p_session AND e.run_id <= p_before
        ORDER BY e.session_id, e.lane_seq DESC LIMIT p_window) UNION ALL
      (SELECT q.run_id FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.session_id BETWEEN p_session AND p_session
        AND q.run_id <= p_before ORDER BY q.session_id DESC, q.lane_pos DESC LIMIT p_window)) r;
    OPEN v_scan FOR SELECT x.* FROM unnest(v_runs) WITH ORDINALITY u(run, n), LATERAL (SELECT * FROM tb.tool_executions y
       WHERE y.tenant_id = p_tenant AND y.run_id = u.run AND (y.run_id, y.step, y.call_no) < (p_before, p_step, p_call)
       ORDER BY y.step DESC, y.call_no DESC) x ORDER BY u.n, x.step DESC, x.call_no DESC LIMIT p_window;
  ELSE
    OPEN v_scan FOR SELECT * FROM tb.tool_executions x WHERE x.tenant_id = p_tenant
      AND (x.run_id, x.step, x.call_no) < (p_before, p_step, p_call) ORDER BY x.run_id DESC, x.step DESC, x.call_no DESC LIMIT p_window;
  END IF;
  LOOP
    FETCH v_scan INTO t;
    EXIT WHEN NOT FOUND;
    IF (p_tool IS NULL OR t.tool = p_tool) AND (p_state IS NULL OR t.state::text = p_state) AND (p_session IS NULL OR t.session_id = p_session)
       AND (p_agent IS NULL OR EXISTS (SELECT FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = t.session_id
                                          AND s.agent_id = p_agent)) THEN
      IF cardinality(v_rows) = p_limit THEN v_next := v_last; EXIT; END IF;
      v_rows := v_rows || tb.execution_json(t, false);
    END IF;
    v_seen := v_seen + 1;
    v_last := t.run_id || ':' || t.step || ':' || t.call_no;
  END LOOP;
  CLOSE v_scan;
  IF v_next IS NULL AND v_seen = p_window THEN v_next := v_last; END IF;
  IF v_next IS NULL AND cardinality(v_runs) >= p_window THEN v_next := v_runs[cardinality(v_runs)] || ':0:0'; END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('executions', to_jsonb(v_rows), 'next', v_next));
END $$;

-- ------------------------------------------------------------------ memory
-- A path names one document for ever: written again after its deletion it goes on with the next version. Paths are compared byte by byte, so that
-- those below a prefix are one range of the index.
DROP INDEX agent_memory_path;
ALTER TABLE agent_memory_entries ALTER COLUMN path TYPE text COLLATE "C";
CREATE UNIQUE INDEX agent_memory_path ON agent_memory_entries (tenant_id, agent_id, path);

-- As with messages: a term is the hash of the agent and a word, so that no search reads the postings of others.
ALTER TABLE memory_chunks ADD COLUMN terms bigint[] NOT NULL DEFAULT '{}';
DROP INDEX memory_chunks_tsv;
CREATE INDEX memory_chunks_terms ON memory_chunks USING gin (terms) WITH (fastupdate = off);

-- A text in pieces of whole lines, some 400 tokens (1600 characters) at most, each beginning with the last 80 tokens of the one before it,
-- but for one that begins with a heading: that closes the piece before it unless it is a short one. A longer line is cut.
CREATE FUNCTION tb.memory_split(p_body text) RETURNS TABLE (chunk_no integer, from_line integer, to_line integer, body text)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE
  c_most CONSTANT integer := 1600; c_again CONSTANT integer := 320;
  l text; n integer; v_lines text[] := '{}'; v_size integer := 0; v_new boolean := false; v_block text; i integer; k integer;
BEGIN
  chunk_no := 0;
  FOR l, n IN SELECT u.x, u.o FROM unnest(string_to_array(p_body, E'\n')) WITH ORDINALITY u(x, o) LOOP
    IF v_new AND (v_size + length(l) + 1 > c_most OR (v_size > c_again AND l ~ '^#{1,6}[ \t]')) THEN
      chunk_no := chunk_no + 1; to_line := n - 1; body := array_to_string(v_lines, E'\n');
      IF body ~ '\S' THEN RETURN NEXT; ELSE chunk_no := chunk_no - 1; END IF;
      i := cardinality(v_lines) + 1; v_size := 0; v_new := false;
      IF l !~ '^#{1,6}[ \t]' THEN                    -- the last lines again
        WHILE i > 1 AND v_size + length(v_lines[i - 1]) + 1 <= c_again LOOP
          i := i - 1; v_size := v_size + length(v_lines[i]) + 1;
        END LOOP;
      END IF;
      v_lines := v_lines[i:];
    END IF;
    IF length(l) > c_most THEN                       -- by blocks: to find a character of a long text takes as long as all before it
      FOR i IN 0 .. (length(l) - 1) / 64000 LOOP
        v_block := substr(l, i * 64000 + 1, 64000);
        FOR k IN 0 .. (length(v_block) - 1) / (c_most - c_again) LOOP
          CONTINUE WHEN k > 0 AND length(v_block) <= k * (c_most - c_again) + c_again;
          body := substr(v_block, k * (c_most - c_again) + 1, c_most);
          CONTINUE WHEN body !~ '\S';
          chunk_no := chunk_no + 1; from_line := n; to_line := n;
          RETURN NEXT;
        END LOOP;
      END LOOP;
      v_lines := '{}'; v_size := 0; v_new := false;
      CONTINUE;
    END IF;
    IF NOT v_new THEN                                -- blank lines alone begin no piece
      IF v_size > c_most THEN v_lines := '{}'; v_size := 0; END IF;
      from_line := n - cardinality(v_lines);
    END IF;
    v_lines := v_lines || l; v_size := v_size + length(l) + 1; v_new := v_new OR l ~ '\S';
  END LOOP;
  body := array_to_string(v_lines, E'\n');
  IF v_new AND body ~ '\S' THEN
    chunk_no := chunk_no + 1; to_line := n;
    RETURN NEXT;
  END IF;
END $$;

-- The pieces of a document's text, where they are not what they were: to add to a long one costs what is added.
CREATE FUNCTION tb.memory_index(p_tenant bigint, p_agent uuid, p_memory uuid, p_body text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_count integer;
BEGIN
  WITH piece AS MATERIALIZED (SELECT * FROM tb.memory_split(p_body)),
  put AS (
    INSERT INTO tb.memory_chunks AS c (tenant_id, agent_id, memory_id, chunk_no, from_line, to_line, body, terms)
    SELECT p_tenant, p_agent, p_memory, s.chunk_no, s.from_line, s.to_line, s.body, tb.search_terms(p_agent, s.body)
      FROM piece s LEFT JOIN tb.memory_chunks o
        ON o.tenant_id = p_tenant AND o.agent_id = p_agent AND o.memory_id = p_memory AND o.chunk_no = s.chunk_no
     WHERE (o.from_line, o.to_line, o.body) IS DISTINCT FROM (s.from_line, s.to_line, s.body)
    ON CONFLICT (tenant_id, agent_id, memory_id, chunk_no) DO UPDATE SET from_line = excluded.from_line, to_line = excluded.to_line,
       body = excluded.body, terms = excluded.terms, embed_model = CASE WHEN c.body = excluded.body THEN c.embed_model END,
       embedding = CASE WHEN c.body = excluded.body THEN c.embedding END)
  SELECT count(*) INTO v_count FROM piece;
  DELETE FROM tb.memory_chunks c WHERE c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.memory_id = p_memory AND c.chunk_no > v_count;
END $$;
SELECT tb.memory_index(e.tenant_id, e.agent_id, e.memory_id, e.body) FROM agent_memory_entries e WHERE e.deleted_at IS NULL;

-- The next text of a document, its version and its pieces in one transaction, whoever writes; under its lock.
CREATE FUNCTION tb.memory_lock(p_tenant bigint, p_agent uuid, p_path text) RETURNS void LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT pg_advisory_xact_lock(hashtextextended(p_tenant || ':' || p_agent || ':' || p_path, 7)) $$;
CREATE FUNCTION tb.memory_write(p_tenant bigint, p_agent uuid, p_memory uuid, p_path text, p_body text, p_tags text[], p_author text, p_idem text)
RETURNS tb.agent_memory_entries LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE e tb.agent_memory_entries;
BEGIN
  IF octet_length(p_body) > 1048576 THEN
    RAISE EXCEPTION 'the document % would exceed 1 MiB', p_path USING ERRCODE = '54000';
  END IF;
  UPDATE tb.agent_memory_entries x SET body = p_body, tags = p_tags, version = x.version + 1, updated_at = now(), deleted_at = NULL
   WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.path = p_path RETURNING x.* INTO e;
  IF NOT FOUND THEN
    INSERT INTO tb.agent_memory_entries (tenant_id, agent_id, memory_id, path, body, tags)
    VALUES (p_tenant, p_agent, p_memory, p_path, p_body, p_tags) RETURNING * INTO e;
  END IF;
  INSERT INTO tb.memory_versions (tenant_id, agent_id, memory_id, version, body, author, idem_key)
  VALUES (p_tenant, p_agent, e.memory_id, e.version, e.body, p_author, p_idem);
  PERFORM tb.memory_index(p_tenant, p_agent, e.memory_id, e.body);
  RETURN e;
END $$;

-- As in 0008, and: with its pieces.
CREATE OR REPLACE FUNCTION tb.memory_store(p_cap text, p_run uuid, p_fence bigint, p_agent uuid, p_memory uuid, p_path text, p_body text, p_tags text[],
  p_append boolean, p_idem text)
RETURNS TABLE (memory_id uuid, version integer, created boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE v_tenant bigint; e tb.agent_memory_entries;
BEGIN
  SELECT q.tenant_id INTO v_tenant FROM tb.worker_caps c
    JOIN tb.agent_run_queue q ON q.tenant_id = c.tenant_id AND q.run_id = p_run AND q.cap_sha256 = c.cap_sha256
   WHERE c.cap_sha256 = sha256(convert_to(p_cap, 'UTF8')) AND c.expires_at > now()
     AND q.state = 'running' AND q.fence = p_fence AND q.agent_id = p_agent;
  IF NOT FOUND THEN RAISE EXCEPTION 'not a live run of this worker' USING ERRCODE = 'TB003'; END IF;
  -- Writers of one document go one after the other, also while it does not exist yet.
  PERFORM tb.memory_lock(v_tenant, p_agent, p_path);
  RETURN QUERY SELECT v.memory_id, v.version, v.version = 1 FROM tb.memory_versions v
    WHERE v.tenant_id = v_tenant AND v.agent_id = p_agent AND v.idem_key = p_idem;
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO e FROM tb.agent_memory_entries x
   WHERE x.tenant_id = v_tenant AND x.agent_id = p_agent AND x.path = p_path AND x.deleted_at IS NULL FOR UPDATE;
  e := tb.memory_write(v_tenant, p_agent, p_memory, p_path,
    CASE WHEN p_append AND e.memory_id IS NOT NULL THEN rtrim(e.body, E'\n') || E'\n' || p_body ELSE p_body END,
    ARRAY(SELECT DISTINCT t FROM unnest(e.tags || p_tags) t ORDER BY t), p_run::text, p_idem);
  RETURN QUERY SELECT e.memory_id, e.version, e.version = 1;
END $$;

CREATE FUNCTION tb.memory_json(e tb.agent_memory_entries) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('path', e.path, 'version', e.version, 'tags', to_jsonb(e.tags), 'bytes', octet_length(e.body),
                            'createdAt', tb.as_text(e.created_at), 'updatedAt', tb.as_text(e.updated_at)) $$;

-- A person's: the text, and the tags if they are given, with commas between them. The same again makes no version. p_expect: the version it is meant to replace, 0: there is
-- none; NULL: any. 'absent': the agent is gone.
CREATE FUNCTION tb.memory_put(p_tenant bigint, p_agent uuid, p_path text, p_body text, p_tags text, p_memory uuid, p_expect integer, p_audit uuid,
  p_actor text, OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '2s' AS $$
DECLARE e tb.agent_memory_entries; v_tags text[];
BEGIN
  PERFORM FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  PERFORM tb.memory_lock(p_tenant, p_agent, p_path);
  SELECT * INTO e FROM tb.agent_memory_entries x
   WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.path = p_path AND x.deleted_at IS NULL FOR UPDATE;
  version := coalesce(e.version, 0);
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  outcome := 'done';
  v_tags := ARRAY(SELECT DISTINCT t FROM unnest(coalesce(string_to_array(p_tags, ','), e.tags)) t ORDER BY t);
  IF e.memory_id IS NULL OR e.body <> p_body OR e.tags <> v_tags THEN
    e := tb.memory_write(p_tenant, p_agent, p_memory, p_path, p_body, v_tags, p_actor, NULL);
    PERFORM tb.noted(p_tenant, p_audit, p_actor, 'memory.put', p_agent::text,
                     jsonb_build_object('path', p_path, 'version', e.version, 'bytes', octet_length(p_body)));
  END IF;
  json := (tb.memory_json(e) || jsonb_build_object('created', version = 0))::text;
  version := e.version;
END $$;

-- What was written stays as its history.
CREATE FUNCTION tb.memory_remove(p_tenant bigint, p_agent uuid, p_path text, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '2s' AS $$
DECLARE e tb.agent_memory_entries;
BEGIN
  PERFORM tb.memory_lock(p_tenant, p_agent, p_path);
  SELECT * INTO e FROM tb.agent_memory_entries x
   WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.path = p_path AND x.deleted_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  version := e.version;
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  UPDATE tb.agent_memory_entries x SET deleted_at = now() WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.memory_id = e.memory_id;
  DELETE FROM tb.memory_chunks c WHERE c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.memory_id = e.memory_id;
  PERFORM tb.noted(p_tenant, p_audit, p_actor, 'memory.delete', p_agent::text, jsonb_build_object('path', p_path, 'version', version));
  outcome := 'done';
END $$;

CREATE FUNCTION tb.memory_text(p_tenant bigint, p_agent uuid, p_path text, p_version integer, OUT version integer, OUT body text)
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT e.version, e.body FROM tb.agent_memory_entries e
   WHERE e.tenant_id = p_tenant AND e.agent_id = p_agent AND e.path = p_path AND e.deleted_at IS NULL AND p_version IS NULL
  UNION ALL
  SELECT v.version, v.body FROM tb.agent_memory_entries e
    JOIN tb.memory_versions v ON v.tenant_id = e.tenant_id AND v.agent_id = e.agent_id AND v.memory_id = e.memory_id
   WHERE e.tenant_id = p_tenant AND e.agent_id = p_agent AND e.path = p_path AND v.version = p_version $$;

CREATE FUNCTION tb.memory_page(p_tenant bigint, p_agent uuid, p_prefix text, p_after text, p_limit integer, p_window integer) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE e tb.agent_memory_entries; v_rows jsonb[] := '{}'; v_seen integer := 0; v_last text; v_next text;
BEGIN
  FOR e IN SELECT * FROM tb.agent_memory_entries x WHERE x.tenant_id = p_tenant AND x.agent_id = p_agent AND x.path > p_after
              AND x.path >= p_prefix AND x.path < p_prefix || chr(1114111) ORDER BY x.path LIMIT p_window LOOP
    IF e.deleted_at IS NULL THEN
      IF cardinality(v_rows) = p_limit THEN v_next := v_last; EXIT; END IF;
      v_rows := v_rows || tb.memory_json(e);
    END IF;
    v_seen := v_seen + 1;
    v_last := e.path;
  END LOOP;
  IF v_next IS NULL AND v_seen = p_window THEN v_next := v_last; END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('documents', to_jsonb(v_rows), 'next', v_next));
END $$;

-- Of a document, also of one that was deleted, its versions: the newest first.
CREATE FUNCTION tb.memory_history(p_tenant bigint, p_agent uuid, p_path text, p_before integer, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  WITH document AS MATERIALIZED (SELECT e.memory_id, e.deleted_at FROM tb.agent_memory_entries e
    WHERE e.tenant_id = p_tenant AND e.agent_id = p_agent AND e.path = p_path),
  found AS MATERIALIZED (SELECT v.version, octet_length(v.body) AS bytes, v.author, v.created_at FROM document d JOIN tb.memory_versions v
      ON v.tenant_id = p_tenant AND v.agent_id = p_agent AND v.memory_id = d.memory_id
   WHERE v.version < p_before ORDER BY v.version DESC LIMIT p_limit + 1),
  shown AS (SELECT f.* FROM found f ORDER BY f.version DESC LIMIT p_limit)
  SELECT jsonb_strip_nulls(jsonb_build_object('path', p_path, 'deletedAt', tb.as_text(d.deleted_at), 'versions',
    coalesce((SELECT jsonb_agg(jsonb_build_object('version', s.version, 'bytes', s.bytes, 'by', s.author, 'createdAt', tb.as_text(s.created_at))
    ORDER BY s.version DESC) FROM shown s), '[]'),
    'next', CASE WHEN (SELECT count(*) FROM found) > p_limit THEN (SELECT min(s.version) FROM shown s) END)) FROM document d $$;

-- As in 0008, by the agent's own terms: pieces that have all of them, or, where the query has alternatives or exceptions, any. What must not be there
-- finds nothing by itself.
CREATE OR REPLACE FUNCTION tb.memory_search_in(p_tenant bigint, p_agent uuid, p_query text, p_limit integer)
RETURNS TABLE (memory_id uuid, chunk_no integer, score real) LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE q tsquery := websearch_to_tsquery('simple', p_query); v_terms bigint[] := tb.search_terms(p_agent, p_query);
BEGIN
  IF q::text ~ '[|!]' THEN
    RETURN QUERY SELECT c.memory_id, c.chunk_no, ts_rank(c.tsv, q) FROM tb.memory_chunks c
      WHERE c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.terms && v_terms AND c.tsv @@ q ORDER BY 3 DESC, 1, 2 LIMIT least(p_limit, 100);
  ELSE
    RETURN QUERY SELECT c.memory_id, c.chunk_no, ts_rank(c.tsv, q) FROM tb.memory_chunks c
      WHERE c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.terms @> v_terms AND c.tsv @@ q ORDER BY 3 DESC, 1, 2 LIMIT least(p_limit, 100);
  END IF;
END $$;
ALTER FUNCTION memory_search_edge ROWS 10;
GRANT EXECUTE ON FUNCTION search_terms TO tb_search, tb_edge;

-- What of an agent's memory holds the words, the best first, and by which ways it was looked for.
CREATE FUNCTION tb.memory_found(p_tenant bigint, p_agent uuid, p_query text, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('legs', '["text"]'::jsonb, 'results', coalesce(jsonb_agg(jsonb_build_object('path', e.path, 'version', e.version,
         'tags', to_jsonb(e.tags), 'fromLine', c.from_line, 'toLine', c.to_line, 'score', round(f.score::numeric, 4), 'text', c.body)
         ORDER BY f.score DESC, e.path, c.chunk_no), '[]'))
    FROM tb.memory_search_edge(p_agent, p_query, p_limit) f
    JOIN tb.memory_chunks c ON c.tenant_id = p_tenant AND c.agent_id = p_agent AND c.memory_id = f.memory_id AND c.chunk_no = f.chunk_no
    JOIN tb.agent_memory_entries e ON e.tenant_id = p_tenant AND e.agent_id = p_agent AND e.memory_id = f.memory_id $$;

-- ------------------------------------------------------------------ workflows
CREATE UNIQUE INDEX workflows_of_agent ON workflows (tenant_id, agent_id, name);

-- As people see one; of an agent that has none it is empty.
CREATE FUNCTION tb.workflow_json(p_tenant bigint, p_agent uuid, p_version integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('agentId', p_agent, 'version', v.version, 'current', v.version = w.version, 'updatedBy', v.author,
         'updatedAt', tb.as_text(v.created_at))) || jsonb_build_object('workflow', v.doc)
    FROM tb.workflows w JOIN tb.workflow_versions v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.workflow_id
   WHERE w.tenant_id = p_tenant AND w.agent_id = p_agent AND w.name = 'main' AND v.version = coalesce(p_version, w.version)
  UNION ALL
  SELECT jsonb_build_object('agentId', p_agent, 'version', 0, 'current', true, 'workflow', '{"nodes": [], "edges": []}'::jsonb)
   WHERE p_version IS NULL AND NOT EXISTS (SELECT FROM tb.workflows w WHERE w.tenant_id = p_tenant AND w.agent_id = p_agent AND w.name = 'main') $$;

CREATE FUNCTION tb.workflow_put(p_tenant bigint, p_agent uuid, p_doc jsonb, p_workflow uuid, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_id uuid; v_doc jsonb;
BEGIN
  PERFORM FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent AND a.deleted_at IS NULL FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  SELECT w.workflow_id, w.version, v.doc INTO v_id, version, v_doc FROM tb.workflows w
    JOIN tb.workflow_versions v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.workflow_id AND v.version = w.version
   WHERE w.tenant_id = p_tenant AND w.agent_id = p_agent AND w.name = 'main';
  version := coalesce(version, 0);
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  outcome := 'done';
  IF v_doc IS DISTINCT FROM p_doc THEN
    version := version + 1;
    IF v_id IS NULL THEN
      v_id := p_workflow;
      INSERT INTO tb.workflows (tenant_id, workflow_id, agent_id, name) VALUES (p_tenant, v_id, p_agent, 'main');
    ELSE
      UPDATE tb.workflows w SET version = workflow_put.version, updated_at = now() WHERE w.tenant_id = p_tenant AND w.workflow_id = v_id;
    END IF;
    INSERT INTO tb.workflow_versions (tenant_id, workflow_id, version, doc, author) VALUES (p_tenant, v_id, version, p_doc, p_actor);
    PERFORM tb.noted(p_tenant, p_audit, p_actor, 'workflow.put', p_agent::text, jsonb_build_object('version', version,
      'nodes', jsonb_array_length(p_doc->'nodes'), 'edges', jsonb_array_length(p_doc->'edges')));
  END IF;
  json := tb.workflow_json(p_tenant, p_agent, NULL)::text;
END $$;

CREATE FUNCTION tb.workflow_versions_page(p_tenant bigint, p_agent uuid, p_before integer, p_limit integer) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  WITH found AS MATERIALIZED (SELECT v.version, v.author, v.created_at FROM tb.workflows w
    JOIN tb.workflow_versions v ON v.tenant_id = w.tenant_id AND v.workflow_id = w.workflow_id
   WHERE w.tenant_id = p_tenant AND w.agent_id = p_agent AND w.name = 'main' AND v.version < p_before ORDER BY v.version DESC LIMIT p_limit + 1),
  shown AS (SELECT f.* FROM found f ORDER BY f.version DESC LIMIT p_limit)
  SELECT jsonb_strip_nulls(jsonb_build_object('versions', coalesce((SELECT jsonb_agg(jsonb_build_object('version', s.version, 'updatedBy', s.author,
    'updatedAt', tb.as_text(s.created_at)) ORDER BY s.version DESC) FROM shown s), '[]'),
    'next', CASE WHEN (SELECT count(*) FROM found) > p_limit THEN (SELECT min(s.version) FROM shown s) END)) $$;

-- ------------------------------------------------------------------ spawned sessions
CREATE INDEX subagent_spawns_session ON subagent_spawns (tenant_id, parent_session_id, parent_run_id, step, call_no);

CREATE FUNCTION tb.spawn_json(s tb.subagent_spawns) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('id', s.parent_run_id || ':' || s.step || ':' || s.call_no, 'parentRunId', s.parent_run_id,
    'parentSessionId', s.parent_session_id, 'childSessionId', s.child_session_id, 'childRunId', s.child_run_id, 'childSessionKey', c.session_key,
    'agentId', c.agent_id, 'depth', s.depth, 'state', s.state, 'onParentCancel', s.on_parent_cancel, 'createdAt', tb.as_text(s.created_at),
    'finishedAt', tb.as_text(s.finished_at))) || CASE WHEN s.result IS NULL THEN '{}' WHEN octet_length(s.result::text) <= 4096
    THEN jsonb_build_object('result', s.result)
    ELSE jsonb_build_object('result', jsonb_build_object('truncated', true, 'bytes', octet_length(s.result::text))) END
    FROM (SELECT 1) one LEFT JOIN tb.agent_sessions c ON c.tenant_id = s.tenant_id AND c.session_id = s.child_session_id $$;

-- What a session spawned, the newest first, each with what that spawned, p_depth levels deep: p_limit of each session, p_left of all. Where some are
-- not shown stands `more`, and behind which they are, `next`: a place of that session's own list.
CREATE FUNCTION tb.spawns_page(p_tenant bigint, p_session uuid, p_run uuid, p_step integer, p_call integer, p_limit integer, p_depth integer,
  INOUT p_left integer, OUT page jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE s tb.subagent_spawns; v_rows jsonb[] := '{}'; v_one jsonb; v_below jsonb; v_last text; v_more boolean := false;
BEGIN
  FOR s IN SELECT * FROM tb.subagent_spawns x WHERE x.tenant_id = p_tenant AND x.parent_session_id = p_session
              AND (x.parent_run_id, x.step, x.call_no) < (p_run, p_step, p_call)
            ORDER BY x.parent_run_id DESC, x.step DESC, x.call_no DESC LIMIT p_limit + 1 LOOP
    v_more := cardinality(v_rows) = p_limit OR p_left <= 0 OR p_depth <= 0;
    EXIT WHEN v_more;
    p_left := p_left - 1;
    v_one := tb.spawn_json(s);
    SELECT b.p_left, b.page INTO p_left, v_below FROM tb.spawns_page(p_tenant, s.child_session_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0, 0,
      p_limit, p_depth - 1, p_left) b;
    v_rows := v_rows || (v_one || jsonb_build_object('children', v_below->'spawns') || (v_below - 'spawns'));
    v_last := v_one->>'id';
  END LOOP;
  page := jsonb_strip_nulls(jsonb_build_object('more', CASE WHEN v_more THEN true END, 'next', CASE WHEN v_more THEN v_last END))
          || jsonb_build_object('spawns', to_jsonb(v_rows));
END $$;

REVOKE ALL ON FUNCTION noted, config_said, agent_json, agents_page, agent_create, agent_change, agent_restore, agent_clone, agent_remove, revisions_page,
  revision_json, execution_json, executions_page, memory_split, memory_index, memory_lock, memory_write, memory_json, memory_put, memory_remove,
  memory_text, memory_page, memory_history, memory_found, memory_store, memory_search_in, workflow_json, workflow_put, workflow_versions_page, spawn_json, spawns_page FROM PUBLIC;
GRANT EXECUTE ON FUNCTION noted, config_said, agent_json, agents_page, agent_create, agent_change, agent_restore, agent_clone, agent_remove,
  revisions_page, revision_json, execution_json, executions_page, memory_split, memory_index, memory_lock, memory_write, memory_json, memory_put,
  memory_remove, memory_text, memory_page, memory_history, memory_found, workflow_json, workflow_put, workflow_versions_page, spawn_json, spawns_page TO tb_edge;
