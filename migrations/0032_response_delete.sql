-- SPDX-License-Identifier: Apache-2.0
-- DELETE /v1/responses/{id}: a run that is no response any more, and the session of a stateless call whose responses are all deleted.

SET LOCAL search_path = tb;

ALTER TABLE agent_runs ADD COLUMN response_deleted boolean NOT NULL DEFAULT false;

-- 'done'; 'live': it has not ended; 'absent': there is none, it was deleted before, or it is another user's. Its session, once no other response is in it,
-- is closed (tb.session_close), or, while something keeps it, is the first that is closed when nothing does any more.
CREATE FUNCTION tb.response_delete(p_run uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.edge_tenant(); v_user text := tb.edge_user(); v_session uuid;
BEGIN
  -- before the archive: what ends in between is found there
  PERFORM FROM tb.agent_run_queue q WHERE q.tenant_id = v_tenant AND q.run_id BETWEEN p_run AND p_run AND (v_user IS NULL OR q.user_id = v_user);
  IF FOUND THEN RETURN 'live'; END IF;
  UPDATE tb.agent_runs r SET response_deleted = true
   WHERE r.tenant_id = v_tenant AND r.run_id BETWEEN p_run AND p_run AND NOT r.response_deleted AND (v_user IS NULL OR r.user_id = v_user)
  RETURNING r.session_id INTO v_session;
  IF NOT FOUND THEN RETURN 'absent'; END IF;
  PERFORM FROM tb.agent_sessions s WHERE s.tenant_id = v_tenant AND s.session_id = v_session AND s.status = 'active'
      AND tb.is_stateless(s.session_key) AND (v_user IS NULL OR s.user_id = v_user);
  IF NOT FOUND THEN RETURN 'done'; END IF;
  PERFORM FROM tb.lanes l WHERE l.tenant_id = v_tenant AND l.session_id = v_session AND NOT l.closed FOR UPDATE;
  IF NOT FOUND OR EXISTS (SELECT FROM tb.agent_runs r WHERE r.tenant_id = v_tenant AND r.session_id = v_session AND r.kind = 'turn'
                             AND NOT r.response_deleted) THEN
    RETURN 'done';
  END IF;
  IF NOT tb.session_close(v_tenant, v_session) THEN
    UPDATE tb.agent_sessions s SET last_active_at = 'epoch' WHERE s.tenant_id = v_tenant AND s.session_id = v_session;
  END IF;
  RETURN 'done';
END $$;

REVOKE ALL ON FUNCTION response_delete FROM PUBLIC;
GRANT EXECUTE ON FUNCTION response_delete TO tb_edge;
