-- SPDX-License-Identifier: Apache-2.0
-- Operation by the API: retries by an idempotency key, dead letters that are looked after, completion webhooks.

SET LOCAL search_path = tb;

-- ------------------------------------------------------------------ retries
-- tb.redrive under an idempotency key (NULL: none), for a day. 'same': this key has made a run of this one before, heir says which; 'mismatch': it was
-- used for another run.
CREATE FUNCTION tb.redrive_keyed(p_tenant bigint, p_run uuid, p_new uuid, p_order_us bigint, p_by text, p_key text)
RETURNS TABLE (outcome text, session_id uuid, agent_id uuid, slot integer, lane_seq bigint, lane_pos bigint, priority integer,
  enqueued_at timestamptz, paused boolean, heir uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE k tb.idempotency_keys; r record;
BEGIN
  IF p_key IS NOT NULL THEN
    DELETE FROM tb.idempotency_keys x WHERE x.tenant_id = p_tenant AND x.scope = 'retry' AND x.key = p_key AND x.expires_at < now();
    INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
    VALUES (p_tenant, 'retry', p_key, uuid_send(p_run), p_new, now() + interval '24 hours') ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT k FROM tb.idempotency_keys x WHERE x.tenant_id = p_tenant AND x.scope = 'retry' AND x.key = p_key;
    IF k.run_id <> p_new THEN
      outcome := CASE WHEN k.request_hash = uuid_send(p_run) THEN 'same' ELSE 'mismatch' END;
      heir := k.run_id;
      RETURN NEXT; RETURN;
    END IF;
  END IF;
  FOR r IN SELECT * FROM tb.redrive(p_tenant, p_run, p_new, p_order_us, p_by) LOOP
    IF r.outcome <> 'queued' THEN                    -- nothing was made: the key is free
      DELETE FROM tb.idempotency_keys x WHERE x.tenant_id = p_tenant AND x.scope = 'retry' AND x.key = p_key;
    END IF;
    outcome := r.outcome; session_id := r.session_id; agent_id := r.agent_id; slot := r.slot; lane_seq := r.lane_seq;
    lane_pos := r.lane_pos; priority := r.priority; enqueued_at := r.enqueued_at; paused := r.paused; heir := r.heir;
    RETURN NEXT;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION redrive_keyed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redrive_keyed TO tb_supervisor;

-- ------------------------------------------------------------------ dead letters
-- What nobody needs to look at any more stays as a run that died, without its message.
ALTER TABLE dead_runs ADD COLUMN discarded_at timestamptz, ADD COLUMN discarded_by text;

-- One, with its message if that has p_input bytes at most.
CREATE FUNCTION tb.dead_json(d tb.dead_runs, p_input integer) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('runId', d.run_id, 'agentId', d.agent_id, 'sessionId', d.session_id,
    'agent', (SELECT a.name FROM tb.agents a WHERE a.tenant_id = d.tenant_id AND a.agent_id = d.agent_id),
    'sessionKey', (SELECT s.session_key FROM tb.agent_sessions s WHERE s.tenant_id = d.tenant_id AND s.session_id = d.session_id),
    'reason', d.reason, 'error', d.error, 'diedAt', tb.as_text(d.died_at), 'redrivenAs', d.redriven_as, 'redrivenBy', d.redriven_by,
    'discardedAt', tb.as_text(d.discarded_at), 'discardedBy', d.discarded_by))
    || CASE WHEN d.input IS NOT NULL AND octet_length(d.input::text) <= p_input THEN jsonb_build_object('input', d.input) ELSE '{}' END $$;

-- 'done', or 'absent': the tenant has no such dead run, or it was discarded before.
CREATE FUNCTION tb.dead_discard(p_run uuid, p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.edge_tenant();
BEGIN
  UPDATE tb.dead_runs d SET discarded_at = now(), discarded_by = p_actor, input = NULL
   WHERE d.tenant_id = v_tenant AND d.run_id = p_run AND d.discarded_at IS NULL;
  IF NOT FOUND THEN RETURN 'absent'; END IF;
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object)
  VALUES (v_tenant, p_audit, p_actor, 'dead.discard', 'run:' || p_run);
  RETURN 'done';
END $$;
REVOKE ALL ON FUNCTION dead_json, dead_discard FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dead_json, dead_discard TO tb_edge;
