-- SPDX-License-Identifier: Apache-2.0
-- Skills.

SET LOCAL search_path = tb;

-- The pin: which skills the session's runs know of, {"mark","leftOut","skills":[{"name","description","location","source","sha256"}]}; NULL: its next run
-- looks what there is. skills_version rises whenever a pin is given up.
ALTER TABLE agent_sessions
  ADD COLUMN skills jsonb CHECK (pg_column_size(skills) <= 1048576),
  ADD COLUMN skills_version integer NOT NULL DEFAULT 0;
GRANT UPDATE (skills, skills_version) ON agent_sessions TO tb_edge;

-- What a claim and a step's commit tell a worker: with another one it reads policy and pin again.
CREATE OR REPLACE FUNCTION tb.policy_versions(p_tenant bigint, p_agent uuid, p_session uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN coalesce((SELECT c.version FROM tb.tool_ceilings c WHERE c.tenant_id = p_tenant), 0) || '.' ||
         coalesce((SELECT p.version FROM tb.agent_tool_policies p WHERE p.tenant_id = p_tenant AND p.agent_id = p_agent), 0) || '.' ||
         coalesce((SELECT s.policy_version + s.skills_version FROM tb.agent_sessions s WHERE s.tenant_id = p_tenant AND s.session_id = p_session), 0) ||
         coalesce((SELECT '.' || sum(m.version) FROM tb.money_terms m WHERE m.tenant_id IN (p_tenant, 0) HAVING count(*) > 0), '');
END $$;

-- {"version","pin"}: what a run found, unless the session has a pin, or one was given up since the run read that version.
CREATE FUNCTION tb.act_skills(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  UPDATE tb.agent_sessions s SET skills = p_data->'pin' WHERE s.tenant_id = p_tenant AND s.session_id = p_session AND s.skills IS NULL
     AND s.skills_version = (p_data->>'version')::integer;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tb.act_reset(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
  VALUES (p_tenant, p_session, p_head + 1, p_run, 'reset', '{"blocks":[]}');
  UPDATE tb.agent_sessions s SET context_floor_seq = p_head + 1, skills = NULL, skills_version = s.skills_version + 1
   WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  RETURN p_head + 1;
END $$;

REVOKE ALL ON FUNCTION act_skills FROM PUBLIC;
