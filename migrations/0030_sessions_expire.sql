-- SPDX-License-Identifier: Apache-2.0
-- The end of sessions that nobody asks for any more: those of stateless calls, and what a deletion left that was cancelled or cut short.

SET LOCAL search_path = tb;

-- edge/openai/exchange.c names them.
CREATE INDEX agent_sessions_stateless ON agent_sessions (last_active_at) WHERE status = 'active' AND session_key LIKE 'openai-call:%';
CREATE INDEX agent_sessions_deleted ON agent_sessions (tenant_id, session_id) WHERE status = 'deleted';

-- Closes up to p_most sessions of stateless calls in which nothing happened for p_days (0: none are), as the acceptance of a deletion does. Not one whose
-- lane somebody paused or a failure blocks, nor one with a dead letter that nobody looked at. Returns up to p_most sessions that are closed and that no
-- job deletes, behind p_tenant and p_after, the last of those returned before.
CREATE FUNCTION tb.sessions_expire(p_days integer, p_most integer, p_tenant bigint, p_after uuid)
RETURNS TABLE (tenant_id bigint, agent_id uuid, session_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE s record;
BEGIN
  IF p_days > 0 THEN
    FOR s IN SELECT x.tenant_id, x.session_id FROM tb.agent_sessions x
              WHERE x.status = 'active' AND x.session_key LIKE 'openai-call:%' AND x.session_key ~ '^openai-call:[0-9a-f-]{36}$'
                AND x.last_active_at < now() - make_interval(days => p_days)
                AND NOT EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = x.tenant_id AND q.session_id = x.session_id)
                AND NOT EXISTS (SELECT FROM tb.queue_pauses p WHERE p.scope = 'lane' AND p.tenant_id = x.tenant_id AND p.object = x.session_id)
                AND NOT EXISTS (SELECT FROM tb.agent_runs r JOIN tb.dead_runs d ON d.tenant_id = r.tenant_id AND d.run_id = r.run_id
                                 WHERE r.tenant_id = x.tenant_id AND r.session_id = x.session_id AND d.redriven_as IS NULL AND d.discarded_at IS NULL)
              ORDER BY x.last_active_at LIMIT p_most LOOP
      PERFORM FROM tb.lanes l WHERE l.tenant_id = s.tenant_id AND l.session_id = s.session_id AND NOT l.closed AND NOT l.blocked
         FOR UPDATE SKIP LOCKED;
      -- what was accepted before the lane was ours is seen now
      CONTINUE WHEN NOT FOUND OR EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = s.tenant_id AND q.session_id = s.session_id);
      UPDATE tb.lanes l SET closed = true WHERE l.tenant_id = s.tenant_id AND l.session_id = s.session_id;
      UPDATE tb.agent_sessions x SET status = 'deleted', session_key = 'deleted:' || x.session_id
       WHERE x.tenant_id = s.tenant_id AND x.session_id = s.session_id;
    END LOOP;
  END IF;
  RETURN QUERY SELECT x.tenant_id, x.agent_id, x.session_id FROM tb.agent_sessions x
   WHERE x.status = 'deleted' AND (x.tenant_id, x.session_id) > (p_tenant, p_after)
     AND NOT EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = x.tenant_id AND q.session_id = x.session_id)
   ORDER BY x.tenant_id, x.session_id LIMIT p_most;
END $$;

-- A piece of each of them, the last one with the session itself; what somebody else holds is left for another time. gone: how many are; more: of how many
-- there is another piece.
CREATE FUNCTION tb.sessions_purge(p_tenant bigint[], p_session uuid[], OUT gone integer, OUT more integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '1s' AS $$
DECLARE u record; nil constant uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  gone := 0; more := 0;
  FOR u IN SELECT x.t, x.s FROM unnest(p_tenant, p_session) x(t, s) LOOP
    PERFORM FROM tb.agent_sessions a WHERE a.tenant_id = u.t AND a.session_id = u.s AND a.status = 'deleted' FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND OR EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = u.t AND q.session_id = u.s);
    PERFORM tb.act_delete_some(u.t, u.s, nil, 0, NULL); -- runs
    PERFORM tb.act_delete_some(u.t, u.s, nil, 0, NULL); -- messages, or more runs
    IF EXISTS (SELECT FROM tb.agent_runs r WHERE r.tenant_id = u.t AND r.session_id = u.s)
       OR EXISTS (SELECT FROM tb.session_messages m WHERE m.tenant_id = u.t AND m.session_id = u.s) THEN
      more := more + 1;
    ELSE
      PERFORM tb.act_delete(u.t, u.s, nil, 0, NULL);
      gone := gone + 1;
    END IF;
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION sessions_expire, sessions_purge FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sessions_expire, sessions_purge TO tb_supervisor;
