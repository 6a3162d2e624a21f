-- SPDX-License-Identifier: Apache-2.0
-- What each turn reads, in one function behind one look at the capability: a statement of as many tables asks for it, and plans it, once a table.

SET LOCAL search_path = tb;

-- The layers of the tool policy, their versions, the tools that a person allowed for the session; the tenant's prices, and whether a budget may bind
-- its runs; the session's skills unless p_skills is their version (NULL: a session that is being deleted); the beginning of the agent's MEMORY.md
-- unless p_memory is its version (NULL: it has none). No row: the capability is not this tenant's.
CREATE FUNCTION tb.run_terms(p_cap text, p_tenant bigint, p_agent uuid, p_session uuid, p_skills integer, p_memory text)
RETURNS TABLE (ceiling text, agent text, session text, versions text, always text, prices text, budgeted boolean, skills_version integer, skills text,
  memory_version text, memory text, memory_is_longer boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT EXISTS (SELECT FROM tb.worker_caps c
                  WHERE c.cap_sha256 = sha256(convert_to(p_cap, 'UTF8')) AND c.tenant_id = p_tenant AND c.expires_at > now()) THEN
    RETURN;
  END IF;
  SELECT CASE WHEN c.tenant_id IS NOT NULL THEN tb.ceiling_document(c)::text END, CASE WHEN p.tenant_id IS NOT NULL THEN tb.policy_document(p)::text END,
         s.policy::text, coalesce(c.version, 0) || '.' || coalesce(p.version, 0) || '.' || coalesce(s.policy_version + s.skills_version, 0),
         s.skills_version, CASE WHEN s.skills_version <> p_skills THEN s.skills::text END,
         e.memory_id || ':' || e.version, CASE WHEN p_memory IS DISTINCT FROM e.memory_id || ':' || e.version THEN left(e.body, 20000) END,
         length(e.body) > 20000
    INTO ceiling, agent, session, versions, skills_version, skills, memory_version, memory, memory_is_longer
    FROM (VALUES (p_tenant)) t (id)
    LEFT JOIN tb.agent_sessions s ON s.tenant_id = t.id AND s.session_id = p_session
    LEFT JOIN tb.tool_ceilings c ON c.tenant_id = t.id
    LEFT JOIN tb.agent_tool_policies p ON p.tenant_id = t.id AND p.agent_id = p_agent
    LEFT JOIN tb.agent_memory_entries e ON e.tenant_id = t.id AND e.agent_id = p_agent AND e.path = 'MEMORY.md' AND e.deleted_at IS NULL;
  versions := versions || coalesce((SELECT '.' || sum(m.version) FROM tb.money_terms m WHERE m.tenant_id IN (p_tenant, 0) HAVING count(*) > 0), '');
  always := (SELECT string_agg(DISTINCT a.tool, ' ') FROM tb.approvals a WHERE a.tenant_id = p_tenant AND a.session_id = p_session AND a.state = 'session');
  IF EXISTS (SELECT FROM tb.model_prices m WHERE m.tenant_id IN (p_tenant, 0)) THEN
    prices := tb.price_report(p_tenant)::text;
  END IF;
  budgeted := EXISTS (SELECT FROM tb.budgets b WHERE b.tenant_id = p_tenant AND (b.scope <> 'agent' OR b.scope_id = p_agent::text));
  RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION run_terms FROM PUBLIC;
GRANT EXECUTE ON FUNCTION run_terms TO tb_worker;
REVOKE SELECT ON agent_tool_policies, tool_ceilings, budgets, model_prices FROM tb_worker;
REVOKE EXECUTE ON FUNCTION policy_versions, ceiling_document, policy_document, price_report FROM tb_worker;

-- An index that begins with the tenant answers, badly, for any column of the tenant's rows; and where the queue was nearly empty when a plan was made, as
-- it nearly always is, it costs the planner no more than the right one: each look for a run then walks all that wait. No look for a run can use this one.
DROP INDEX agent_run_queue_lane;
CREATE UNIQUE INDEX agent_run_queue_lane ON agent_run_queue (session_id, tenant_id, lane_pos);
