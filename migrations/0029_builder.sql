-- SPDX-License-Identifier: Apache-2.0
-- Builder mode: a message's, which is kept with it. Its run may make agents and change them and their policies.

SET LOCAL search_path = tb;

DROP FUNCTION builder_agent_save(uuid, bigint, uuid, integer, jsonb);

-- The tenant of a live run of this worker that a message of builder mode began: the door let it in for a token that may write.
CREATE FUNCTION tb.builder_run(p_cap text, p_run uuid, p_fence bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint;
BEGIN
  SELECT q.tenant_id INTO v_tenant FROM tb.worker_caps c
    JOIN tb.agent_run_queue q ON q.tenant_id = c.tenant_id AND q.run_id = p_run AND q.cap_sha256 = c.cap_sha256
    JOIN tb.session_messages m ON m.tenant_id = q.tenant_id AND m.session_id = q.session_id AND m.seq = q.input_seq
   WHERE c.cap_sha256 = sha256(convert_to(p_cap, 'UTF8')) AND c.expires_at > now() AND q.state = 'running' AND q.fence = p_fence
     AND m.content->>'mode' = 'builder'
     -- what came into the run meanwhile was let in for anybody who may write to the session
     AND NOT EXISTS (SELECT FROM tb.session_messages x WHERE x.tenant_id = q.tenant_id AND x.session_id = q.session_id AND x.seq > q.input_seq
                        AND x.role = 'user' AND x.content->>'mode' IS DISTINCT FROM 'builder');
  IF NOT FOUND THEN
    RAISE EXCEPTION 'not a live run in builder mode of this worker' USING ERRCODE = 'TB003';
  END IF;
  RETURN v_tenant;
END $$;

-- The same id for the same call, however often it is made; of the run's time.
CREATE FUNCTION tb.keyed_id(p_run uuid, p_key text) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT (left(p_run::text, 14) || '7' || substr(x.h, 1, 3) || '-8' || substr(x.h, 4, 3) || '-' || substr(x.h, 7, 12))::uuid
    FROM (SELECT encode(sha256(convert_to(p_key, 'UTF8')), 'hex')) x (h) $$;

-- An agent of the tenant by its name or its id; NULL: there is none.
CREATE FUNCTION tb.agent_called(p_tenant bigint, p_word text) RETURNS uuid LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT a.agent_id FROM tb.agents a WHERE a.tenant_id = p_tenant AND a.deleted_at IS NULL AND (a.name = p_word OR a.agent_id::text = p_word)
   ORDER BY a.name = p_word DESC LIMIT 1 $$;

-- A new agent (p_of NULL: p_name, p_profile), or p_config's members over those of one that is there. Outcomes are agent_create's and agent_change's. The
-- same call again finds what it did by the row of the audit log.
CREATE FUNCTION tb.builder_agent(p_cap text, p_run uuid, p_fence bigint, p_key text, p_of text, p_name text, p_config jsonb, p_most integer, p_profile text,
  p_expect integer, OUT outcome text, OUT agent uuid, OUT version integer, OUT "json" text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.builder_run(p_cap, p_run, p_fence); v_audit uuid := tb.keyed_id(p_run, p_key); v_actor text := 'run:' || p_run;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(v_audit::text, 11));
  SELECT l.object::uuid, (l.detail->>'revision')::integer INTO agent, version FROM tb.audit_log l WHERE l.tenant_id = v_tenant AND l.audit_id = v_audit;
  IF FOUND THEN
    outcome := 'done'; json := tb.agent_json(v_tenant, agent);
  ELSIF p_of IS NULL THEN
    agent := tb.keyed_id(p_run, p_key || ' agent');
    SELECT c.outcome, c.version, c.json INTO outcome, version, json
      FROM tb.agent_create(v_tenant, agent, p_name, p_config, p_most, p_profile, v_audit, v_actor) c;
  ELSE
    agent := tb.agent_called(v_tenant, p_of);
    SELECT c.outcome, c.version, c.json INTO outcome, version, json
      FROM tb.agent_change(v_tenant, agent, p_config, false, p_name, p_most, 'agent.change', p_expect, v_audit, v_actor) c;
  END IF;
END $$;

-- An agent's tool policy. Outcomes are policy_put's.
CREATE FUNCTION tb.builder_policy(p_cap text, p_run uuid, p_fence bigint, p_key text, p_of text, p_doc jsonb, p_expect integer, OUT outcome text,
  OUT version integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.builder_run(p_cap, p_run, p_fence); v_audit uuid := tb.keyed_id(p_run, p_key); v_agent uuid;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(v_audit::text, 11));
  SELECT 'done', (l.detail->>'version')::integer INTO outcome, version FROM tb.audit_log l WHERE l.tenant_id = v_tenant AND l.audit_id = v_audit;
  IF FOUND THEN RETURN; END IF;
  v_agent := tb.agent_called(v_tenant, p_of);
  IF v_agent IS NULL THEN
    outcome := 'absent'; RETURN;
  END IF;
  SELECT p.outcome, p.version INTO outcome, version FROM tb.policy_put(v_tenant, v_agent, NULL, p_doc, p_expect, v_audit, 'run:' || p_run) p;
END $$;

-- Who has a message answered again, or edits it, need not be who may write: it is one of mode runtime then.
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
         (p_tenant, p_session, p_head + 2, p_run, 'user', coalesce(v_kept || p_content, m.content - 'mode'), CASE WHEN p_content IS NULL THEN m.tokens END);
  UPDATE tb.agent_run_queue q SET kind = 'turn', mode = 'followup', input_seq = p_head + 2
   WHERE q.tenant_id = p_tenant AND q.run_id = p_run;
  DELETE FROM tb.run_inputs i WHERE i.tenant_id = p_tenant AND i.run_id = p_run;
  RETURN p_head + 2;
END $$;

REVOKE ALL ON FUNCTION branch, builder_run, keyed_id, agent_called, builder_agent, builder_policy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION builder_agent, builder_policy TO tb_worker;
