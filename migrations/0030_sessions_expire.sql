-- SPDX-License-Identifier: Apache-2.0
-- The end of sessions that nobody asks for any more: those of stateless calls, and what a deletion left that was cancelled or cut short. Closed first,
-- as the acceptance of a deletion does it; then, when their files are gone, deleted.

SET LOCAL search_path = tb;

-- edge/openai/exchange.c names them.
CREATE INDEX agent_sessions_stateless ON agent_sessions (last_active_at, session_id) WHERE status = 'active' AND session_key LIKE 'openai-call:%';
CREATE INDEX agent_sessions_deleted ON agent_sessions (tenant_id, session_id) WHERE status = 'deleted';

-- Whether a key is of a stateless call's session: somebody may name another one that begins so.
CREATE FUNCTION tb.is_stateless(p_key text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT p_key ~ '^openai-call:[0-9a-f-]{36}$' $$;

-- Closes a session, whose lane the caller has locked; false: something keeps it. It is what runs or waits in it, a pause, a failure that blocks its lane, a
-- dead letter that nobody looked at.
CREATE FUNCTION tb.session_close(p_tenant bigint, p_session uuid) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.session_id = p_session)
     OR EXISTS (SELECT FROM tb.queue_pauses p WHERE p.scope = 'lane' AND p.tenant_id = p_tenant AND p.object = p_session)
     OR EXISTS (SELECT FROM tb.agent_runs r JOIN tb.dead_runs d ON d.tenant_id = r.tenant_id AND d.run_id = r.run_id
                 WHERE r.tenant_id = p_tenant AND r.session_id = p_session AND d.redriven_as IS NULL AND d.discarded_at IS NULL) THEN
    RETURN false;
  END IF;
  UPDATE tb.lanes l SET closed = true WHERE l.tenant_id = p_tenant AND l.session_id = p_session AND NOT l.closed AND NOT l.blocked;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE tb.agent_sessions s SET status = 'deleted', session_key = 'deleted:' || s.session_id WHERE s.tenant_id = p_tenant AND s.session_id = p_session;
  RETURN true;
END $$;

-- Closes sessions of stateless calls in which nothing happened for p_days: of the next 200 behind p_at and p_id. What somebody holds at the
-- moment is left for another time. closed: how many; last_at, last_id: the last that was looked at, NULL: there is none behind.
CREATE FUNCTION tb.sessions_close(p_days integer, p_at timestamptz, p_id uuid, OUT closed integer, OUT last_at timestamptz, OUT last_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '1s' AS $$
DECLARE s record; n integer := 0; v_before timestamptz := now() - make_interval(days => p_days);
BEGIN
  closed := 0;
  FOR s IN SELECT x.tenant_id, x.session_id, x.last_active_at, x.session_key FROM tb.agent_sessions x
            WHERE x.status = 'active' AND x.session_key LIKE 'openai-call:%' AND (x.last_active_at, x.session_id) > (p_at, p_id)
              AND x.last_active_at < v_before ORDER BY x.last_active_at, x.session_id LIMIT 200 LOOP
    n := n + 1; last_at := s.last_active_at; last_id := s.session_id;
    CONTINUE WHEN NOT tb.is_stateless(s.session_key);
    PERFORM FROM tb.lanes l WHERE l.tenant_id = s.tenant_id AND l.session_id = s.session_id FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    -- nothing of the lane changes any more: when it was used last is looked at anew
    PERFORM FROM tb.agent_sessions x WHERE x.tenant_id = s.tenant_id AND x.session_id = s.session_id AND x.status = 'active'
        AND x.last_active_at < v_before FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND OR NOT tb.session_close(s.tenant_id, s.session_id);
    closed := closed + 1;
  END LOOP;
  IF n < 200 THEN
    last_at := NULL; last_id := NULL;
  END IF;
END $$;

-- Sessions that are closed and that no job deletes, behind p_tenant and p_id.
CREATE FUNCTION tb.sessions_closed(p_tenant bigint, p_id uuid, p_most integer) RETURNS TABLE (tenant_id bigint, agent_id uuid, session_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT x.tenant_id, x.agent_id, x.session_id FROM tb.agent_sessions x
   WHERE x.status = 'deleted' AND (x.tenant_id, x.session_id) > (p_tenant, p_id)
     AND NOT EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = x.tenant_id AND q.session_id = x.session_id)
   ORDER BY x.tenant_id, x.session_id LIMIT p_most $$;

-- A piece of each of them, the last one with the session itself, for a fifth of a second; what somebody else holds is left for another time. gone: how
-- many are; more: of how many there is another piece.
CREATE FUNCTION tb.sessions_purge(p_tenant bigint[], p_session uuid[], OUT gone integer, OUT more integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp SET lock_timeout = '1s' AS $$
DECLARE u record; nil constant uuid := '00000000-0000-0000-0000-000000000000'; v_until timestamptz := clock_timestamp() + interval '0.2 seconds';
BEGIN
  gone := 0; more := 0;
  FOR u IN SELECT x.t, x.s FROM unnest(p_tenant, p_session) x(t, s) LOOP
    IF clock_timestamp() > v_until THEN
      more := more + 1; CONTINUE;
    END IF;
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

REVOKE ALL ON FUNCTION is_stateless, session_close, sessions_close, sessions_closed, sessions_purge FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sessions_close, sessions_closed, sessions_purge TO tb_supervisor;
