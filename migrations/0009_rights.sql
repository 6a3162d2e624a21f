-- SPDX-License-Identifier: Apache-2.0
-- Who may do what: explicit grants, then one row-level policy a role and table, never one for PUBLIC.

SET LOCAL search_path = tb;

--   S select, I insert, U update (columns), D delete; F: through functions of 0007 and 0008 only
--   table                       supervisor       worker                            edge
--   tenants, api_tokens         S, -             - (nothing)                       S; tokens F
--   worker_caps, nodes          F                - (nothing)                       -
--   agents, revisions, policies S agents         S; builder F                      S I U(columns)
--   tool_ceilings               -                S                                 S I U
--   agent_sessions              S                S                                 S I U(title, meta, queue_mode, policy)
--   lanes                       S F              S F                               S I
--   agent_run_queue, run_inputs S F              S F                               S
--   idempotency_keys            S D(expired)     -                                 -
--   agent_runs, dead_runs       S D, S U F       S F, -                            S
--   tool_executions             S D              S F                               S
--   session_messages            -                S F                               S
--   run_events                  S D              S F                               S
--   snapshots, spawns           S spawns         S                                 S
--   approvals                   S                S                                 S
--   memory                      -                S F                               S I U D
--   workflows                   -                S                                 S I U D
--   schedules                   S U(next_at)     -                                 S I U D
--   provider_keys               -                S own and platform                S (not sealed) I U D
--   cooldowns, usage, budgets   -                S, S F, S                         S; budgets I U(limits)
--   blobs, deliveries, audit    S U deliveries   S, S, -                           S I, S, S I
-- What a later piece of work writes through the worker or the supervisor, it grants or wraps in its own migration.
GRANT USAGE ON SCHEMA tb TO tb_supervisor, tb_edge, tb_worker, tb_search;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tb FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;  -- of later migrations too

GRANT SELECT ON tenants, agents, agent_sessions, lanes, agent_run_queue, run_inputs, agent_runs, dead_runs, idempotency_keys, approvals,
  tool_executions, run_events, subagent_spawns, schedules, deliveries TO tb_supervisor;
GRANT UPDATE ON dead_runs, deliveries TO tb_supervisor;
GRANT UPDATE (next_at) ON schedules TO tb_supervisor;
GRANT DELETE ON agent_runs, idempotency_keys, tool_executions, run_events TO tb_supervisor;

GRANT SELECT ON agents, agent_revisions, agent_tool_policies, tool_ceilings, agent_sessions, lanes, agent_run_queue, run_inputs,
  agent_runs, session_messages, tool_executions, run_events, agent_context_snapshots, subagent_spawns, approvals, agent_memory_entries,
  memory_versions, memory_chunks, workflows, workflow_versions, provider_keys, provider_cooldowns, usage_ledger, budgets, blobs,
  deliveries TO tb_worker;

GRANT SELECT ON tenants, api_tokens, agents, agent_revisions, agent_tool_policies, tool_ceilings, agent_sessions, lanes, agent_run_queue,
  run_inputs, agent_runs, dead_runs, session_messages, tool_executions, run_events, agent_context_snapshots, subagent_spawns, approvals,
  agent_memory_entries, memory_versions, memory_chunks, workflows, workflow_versions, schedules, usage_ledger, budgets, blobs, deliveries,
  audit_log TO tb_edge;
GRANT SELECT (tenant_id, key_id, provider, label, base_url, disabled_at, created_at) ON provider_keys TO tb_edge;
GRANT INSERT ON agents, agent_revisions, agent_tool_policies, tool_ceilings, agent_sessions, lanes, agent_memory_entries, memory_versions,
  memory_chunks, workflows, workflow_versions, schedules, provider_keys, budgets, blobs, audit_log TO tb_edge;
GRANT UPDATE (name, revision, max_running, deleted_at) ON agents TO tb_edge;
GRANT UPDATE ON agent_tool_policies, tool_ceilings, agent_memory_entries, memory_chunks, workflows, schedules TO tb_edge;
GRANT UPDATE (title, meta, queue_mode, policy) ON agent_sessions TO tb_edge;
GRANT UPDATE (label, disabled_at) ON provider_keys TO tb_edge;
GRANT UPDATE (limit_micros, limit_tokens) ON budgets TO tb_edge;
GRANT DELETE ON agent_memory_entries, memory_versions, memory_chunks, workflows, schedules, provider_keys TO tb_edge;

GRANT SELECT ON memory_chunks TO tb_search;
GRANT EXECUTE ON FUNCTION enqueue, claim, bury, events_roll, node_start, node_stop, nodes_running, cap_grant, cap_revoke TO tb_supervisor;
GRANT EXECUTE ON FUNCTION journal, lane_state, memory_store, builder_agent_save, memory_search TO tb_worker;
GRANT EXECUTE ON FUNCTION open_session, token_create, token_revoke, memory_search_edge TO tb_edge;
GRANT EXECUTE ON FUNCTION cap_tenant TO tb_worker, tb_search;
GRANT EXECUTE ON FUNCTION edge_tenant TO tb_edge, tb_search;

-- The search role owns the search functions (membership is needed only to hand them over; since PostgreSQL 16 who made a role may grant
-- it but not yet become it).
DO $$ BEGIN EXECUTE format('GRANT tb_search TO %I', current_user); END $$;
GRANT CREATE ON SCHEMA tb TO tb_search;
ALTER FUNCTION memory_search_in OWNER TO tb_search;
ALTER FUNCTION memory_search OWNER TO tb_search;
ALTER FUNCTION memory_search_edge OWNER TO tb_search;
REVOKE CREATE ON SCHEMA tb FROM tb_search;

-- Which migrations stand: every process checks it at start.
GRANT USAGE ON SCHEMA tb_meta TO tb_supervisor, tb_edge, tb_worker;
GRANT SELECT ON tb_meta.migrations TO tb_supervisor, tb_edge, tb_worker;

-- ------------------------------------------------------------------ row level security
-- ENABLE without FORCE: the owner's SECURITY DEFINER functions must see all tenants, and processes refuse to start as the owner.
-- The worker's tenant is an InitPlan (once a statement); the edge's GUC is compared bare (an index condition).
DO $$
DECLARE t text; hidden text[] := ARRAY['tenants','api_tokens','worker_caps','nodes'];
BEGIN
  FOR t IN SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = 'tb'::regnamespace AND c.relkind IN ('r','p') AND NOT c.relispartition LOOP
    EXECUTE format('ALTER TABLE tb.%I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY supervisor ON tb.%I TO tb_supervisor USING (true)', t);
    CONTINUE WHEN t IN ('worker_caps', 'nodes');
    EXECUTE format($p$CREATE POLICY edge ON tb.%I TO tb_edge
      USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::bigint)$p$, t);
    IF t <> ALL (hidden) THEN
      EXECUTE format('CREATE POLICY worker ON tb.%I TO tb_worker USING (tenant_id = (SELECT tb.cap_tenant()))', t);
    END IF;
  END LOOP;
END $$;
CREATE POLICY worker_platform ON provider_keys FOR SELECT TO tb_worker USING (tenant_id = 0 AND (SELECT tb.cap_tenant()) IS NOT NULL);
CREATE POLICY search ON memory_chunks TO tb_search USING (true);

