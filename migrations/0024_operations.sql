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

-- ------------------------------------------------------------------ completion webhooks
-- Who is told of a run's end: its agent's revision, config.webhook, and its own message, content.webhook, each {"url", "events"}. A delivery is a row that
-- is committed with the end; a worker sends it (docs/webhooks.md).
ALTER TABLE agent_revisions ADD COLUMN webhook jsonb
  GENERATED ALWAYS AS (CASE WHEN jsonb_typeof(config->'webhook') = 'object' THEN config->'webhook' END) STORED;  -- beside a long config, so that it is cheap to look at

CREATE TABLE run_webhooks (                          -- of live runs alone: what their message says
  tenant_id bigint NOT NULL, run_id uuid NOT NULL, webhook jsonb NOT NULL,
  PRIMARY KEY (tenant_id, run_id)
);
ALTER TABLE run_webhooks ENABLE ROW LEVEL SECURITY;  -- and no policy: it is for the functions below

ALTER TABLE deliveries
  ADD COLUMN event text,
  ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN since_at timestamptz NOT NULL DEFAULT now(),   -- of the first try, anew with a redelivery: 24 hours from here on
  ADD COLUMN done_at timestamptz,
  ADD COLUMN status integer;                         -- the last answer's
CREATE INDEX deliveries_target ON deliveries (tenant_id, target, next_at) WHERE state = 'pending' AND channel = 'webhook';
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;

CREATE TABLE webhook_targets (                       -- those that failed last: one try at a time, and pauses that grow
  tenant_id bigint NOT NULL, target text NOT NULL,
  failures integer NOT NULL DEFAULT 1, open_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, target)
);
ALTER TABLE webhook_targets ENABLE ROW LEVEL SECURITY;

-- Sealed as provider keys are (proto/keys/key_seal.h), with provider 'webhook'. One is in force; the one before it signs beside it until it expires.
CREATE TABLE webhook_secrets (
  tenant_id  bigint NOT NULL REFERENCES tenants,
  secret_id  uuid   NOT NULL,
  sealed     bytea  NOT NULL, master_id bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz,
  PRIMARY KEY (tenant_id, secret_id)
);
CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (tenant_id) WHERE expires_at IS NULL;
ALTER TABLE webhook_secrets ENABLE ROW LEVEL SECURITY;

-- ---- what runs leave
CREATE FUNCTION tb.webhook_kept() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF TG_TABLE_NAME = 'run_inputs' THEN
    INSERT INTO tb.run_webhooks (tenant_id, run_id, webhook) VALUES (NEW.tenant_id, NEW.run_id, NEW.body->'webhook') ON CONFLICT DO NOTHING;
  ELSE                                               -- a start that needed no row of run_inputs
    INSERT INTO tb.run_webhooks (tenant_id, run_id, webhook) SELECT q.tenant_id, q.run_id, NEW.content->'webhook' FROM tb.agent_run_queue q
     WHERE q.tenant_id = NEW.tenant_id AND q.run_id = NEW.run_id ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER webhook_kept AFTER INSERT ON run_inputs FOR EACH ROW WHEN (NEW.body ? 'webhook') EXECUTE FUNCTION webhook_kept();
CREATE TRIGGER webhook_kept AFTER INSERT ON session_messages FOR EACH ROW
  WHEN (NEW.role = 'user' AND NEW.content ? 'webhook') EXECUTE FUNCTION webhook_kept();

-- What is told of a run. The text of its answer comes along up to 64 KiB.
CREATE FUNCTION tb.webhook_body(r tb.agent_runs) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_build_object('type', 'run.' || r.result, 'timestamp', tb.as_text(r.finished_at), 'data', jsonb_strip_nulls(jsonb_build_object(
    'runId', r.run_id, 'status', r.result, 'agentId', r.agent_id, 'agent', (SELECT a.name FROM tb.agents a WHERE a.tenant_id = r.tenant_id AND a.agent_id = r.agent_id),
    'sessionId', r.session_id, 'sessionKey', (SELECT s.session_key FROM tb.agent_sessions s WHERE s.tenant_id = r.tenant_id AND s.session_id = r.session_id),
    'user', r.user_id, 'retryOf', r.retry_of, 'mergedInto', r.merged_into, 'acceptedAt', tb.as_text(r.enqueued_at),
    'startedAt', tb.as_text(r.started_at), 'endedAt', tb.as_text(r.finished_at), 'steps', r.steps, 'toolCalls', r.tool_calls,
    'inputTokens', r.tokens_in, 'outputTokens', r.tokens_out,
    'error', CASE WHEN r.error_code IS NOT NULL THEN jsonb_build_object('code', r.error_code, 'message', left(r.error, 2000)) END,
    'result', CASE WHEN r.output_seq IS NOT NULL THEN (SELECT jsonb_build_object('messageSeq', r.output_seq, 'text', left(t.text, 65536),
        'truncated', CASE WHEN length(t.text) > 65536 THEN true END) FROM (SELECT string_agg(b.v->>'text', '' ORDER BY b.n) AS text FROM tb.session_messages m,
        jsonb_array_elements(m.content->'blocks') WITH ORDINALITY b(v, n) WHERE m.tenant_id = r.tenant_id AND m.session_id = r.session_id
        AND m.seq = r.output_seq AND b.v->>'type' = 'text') t) END))) $$;

CREATE FUNCTION tb.webhook_add(r tb.agent_runs, w jsonb) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF jsonb_typeof(w->'events') = 'array' AND NOT w->'events' ? r.result::text THEN RETURN; END IF;
  IF length(w->>'url') > 2000 OR w->>'url' IS NULL THEN RETURN; END IF;
  INSERT INTO tb.deliveries (tenant_id, delivery_id, run_id, channel, target, event, body)
  VALUES (r.tenant_id, (left(tb.uuid7_floor(clock_timestamp())::text, 14) || '7' || substr(gen_random_uuid()::text, 16))::uuid, r.run_id, 'webhook',
          w->>'url', 'run.' || r.result, tb.webhook_body(r));
END $$;

-- Who archives a run is a function of the owner's with a search path of its own: this one is so, too, and costs each end less.
CREATE FUNCTION tb.webhook_due() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE v_agent jsonb; v_own jsonb;
BEGIN
  v_own := (SELECT w.webhook FROM tb.run_webhooks w WHERE w.tenant_id = NEW.tenant_id AND w.run_id = NEW.run_id);
  IF NEW.agent_revision IS NOT NULL THEN
    v_agent := (SELECT g.webhook FROM tb.agent_revisions g
                 WHERE g.tenant_id = NEW.tenant_id AND g.agent_id = NEW.agent_id AND g.revision = NEW.agent_revision);
  ELSE
    v_agent := (SELECT g.webhook FROM tb.agents a JOIN tb.agent_revisions g ON g.tenant_id = a.tenant_id AND g.agent_id = a.agent_id
                   AND g.revision = a.revision WHERE a.tenant_id = NEW.tenant_id AND a.agent_id = NEW.agent_id);
  END IF;
  IF v_agent IS NOT NULL THEN PERFORM tb.webhook_add(NEW, v_agent); END IF;
  IF v_own IS NOT NULL THEN
    DELETE FROM tb.run_webhooks w WHERE w.tenant_id = NEW.tenant_id AND w.run_id = NEW.run_id;
    PERFORM tb.webhook_add(NEW, v_own);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER webhook_due AFTER INSERT ON agent_runs FOR EACH ROW WHEN (NEW.kind = 'turn') EXECUTE FUNCTION webhook_due();

-- ---- what the supervisor gives out
-- Deliveries that are due, of each target in turn from behind (p_tenant, p_target) on, p_limit at most: two at a time of a target, one of one that failed
-- last and none while it rests, eight of a tenant; p_busy_*: those under way. Each is leased for 20 s: whoever dies with it, it comes again.
CREATE FUNCTION tb.webhooks_due(p_tenant bigint, p_target text, p_limit integer, p_busy_tenant bigint[], p_busy_target text[])
RETURNS TABLE (tenant_id bigint, target text, delivery_id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
BEGIN
  UPDATE tb.deliveries d SET state = 'failed', done_at = now(), last_error = 'not taken within 24 hours' || coalesce(': ' || d.last_error, '')
   WHERE d.state = 'pending' AND d.channel = 'webhook' AND d.next_at < now() - interval '24 hours';
  DELETE FROM tb.deliveries d WHERE d.done_at < now() - interval '30 days';
  RETURN QUERY
  WITH RECURSIVE pair AS (
    (SELECT d.tenant_id, d.target FROM tb.deliveries d WHERE d.state = 'pending' AND d.channel = 'webhook'
        AND (d.tenant_id, d.target) > (p_tenant, p_target) ORDER BY d.tenant_id, d.target LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.target FROM pair p CROSS JOIN LATERAL (SELECT d.tenant_id, d.target FROM tb.deliveries d
     WHERE d.state = 'pending' AND d.channel = 'webhook' AND (d.tenant_id, d.target) > (p.tenant_id, p.target)
     ORDER BY d.tenant_id, d.target LIMIT 1) n),
  busy AS (SELECT b.t, b.target, count(*) AS n FROM unnest(p_busy_tenant, p_busy_target) b(t, target) GROUP BY 1, 2),
  open AS (
    SELECT p.tenant_id, p.target, CASE WHEN t.failures IS NULL THEN 2 ELSE 1 END
             - coalesce((SELECT b.n FROM busy b WHERE b.t = p.tenant_id AND b.target = p.target), 0) AS room
      FROM (SELECT * FROM pair LIMIT 5000) p LEFT JOIN tb.webhook_targets t ON t.tenant_id = p.tenant_id AND t.target = p.target
     WHERE t.open_at IS NULL OR t.open_at <= now()),
  due AS (
    SELECT o.tenant_id, o.target, x.delivery_id, row_number() OVER (PARTITION BY o.tenant_id ORDER BY x.next_at) AS nth
      FROM open o CROSS JOIN LATERAL (SELECT d.delivery_id, d.next_at FROM tb.deliveries d WHERE d.state = 'pending' AND d.channel = 'webhook'
       AND d.tenant_id = o.tenant_id AND d.target = o.target AND d.next_at <= now() ORDER BY d.next_at LIMIT greatest(o.room, 0)) x),
  chosen AS MATERIALIZED (
    SELECT u.tenant_id, u.target, u.delivery_id FROM due u
     WHERE u.nth <= 8 - coalesce((SELECT sum(b.n) FROM busy b WHERE b.t = u.tenant_id), 0) ORDER BY u.tenant_id, u.target LIMIT p_limit),
  leased AS (
    UPDATE tb.deliveries d SET next_at = now() + interval '20 seconds' FROM chosen c
     WHERE d.tenant_id = c.tenant_id AND d.delivery_id = c.delivery_id RETURNING d.tenant_id, d.target, d.delivery_id)
  SELECT l.tenant_id, l.target, l.delivery_id FROM leased l ORDER BY l.tenant_id, l.target;
END $$;

-- Nobody sent it, or it is not known whether: it is due again soon.
CREATE FUNCTION tb.webhook_again(p_tenant bigint, p_delivery uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  UPDATE tb.deliveries d SET next_at = least(d.next_at, now() + (1 + random()) * interval '1 second')
   WHERE d.tenant_id = p_tenant AND d.delivery_id = p_delivery AND d.state = 'pending' $$;
REVOKE ALL ON FUNCTION webhook_kept, webhook_body, webhook_add, webhook_due, webhooks_due, webhook_again FROM PUBLIC;
GRANT EXECUTE ON FUNCTION webhooks_due, webhook_again TO tb_supervisor;

-- ---- what the worker that sends it may see and say, by a capability for this delivery alone
ALTER TABLE inquiries DROP CONSTRAINT inquiries_kind_check, ADD CONSTRAINT inquiries_kind_check CHECK (kind IN ('key', 'request', 'embed', 'webhook'));

-- A try begins. No row: it is done.
CREATE FUNCTION tb.inquiry_webhook(p_cap text) RETURNS TABLE (target text, body text, attempt integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  UPDATE tb.deliveries d SET attempts = d.attempts + 1 FROM tb.inquiry_of(p_cap, 'webhook') i
   WHERE d.tenant_id = i.tenant_id AND d.delivery_id = i.object AND d.state = 'pending' RETURNING d.target, d.body::text, d.attempts::integer $$;

-- The secrets that it is signed with, the newest first, as rows of provider keys are read.
CREATE FUNCTION tb.inquiry_webhook_secrets(p_cap text)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, api_version text, bearer boolean, revision integer, master_id bytea, sealed bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT s.tenant_id, s.secret_id, 'webhook', NULL::text, NULL::text, false, 1, s.master_id, s.sealed
    FROM tb.inquiry_of(p_cap, 'webhook') i JOIN tb.webhook_secrets s ON s.tenant_id = i.tenant_id
   WHERE s.expires_at IS NULL OR s.expires_at > now() ORDER BY s.expires_at IS NULL DESC, s.expires_at DESC LIMIT 2 $$;

-- How the try went: an HTTP status, or 0 and why. 410 and the end of 24 hours or 12 tries are final; else it is tried again after up to 1 s * 2^tries, chosen
-- at random, and not before p_after seconds. A target that does not answer, or says that it cannot now, rests.
CREATE FUNCTION tb.inquiry_webhook_done(p_cap text, p_status integer, p_error text, p_after integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE i tb.inquiries := tb.inquiry_of(p_cap, 'webhook'); d tb.deliveries; v_next timestamptz; v_down boolean;
BEGIN
  SELECT * INTO d FROM tb.deliveries x WHERE x.tenant_id = i.tenant_id AND x.delivery_id = i.object AND x.state = 'pending' FOR NO KEY UPDATE;
  IF NOT FOUND THEN RETURN; END IF;
  IF p_status BETWEEN 200 AND 299 THEN
    UPDATE tb.deliveries x SET state = 'sent', done_at = now(), status = p_status, last_error = NULL
     WHERE x.tenant_id = d.tenant_id AND x.delivery_id = d.delivery_id;
    DELETE FROM tb.webhook_targets t WHERE t.tenant_id = d.tenant_id AND t.target = d.target;
    RETURN;
  END IF;
  v_next := now() + greatest(random() * least(power(2, d.attempts), 86400), least(p_after, 86400)) * interval '1 second';
  UPDATE tb.deliveries x SET status = nullif(p_status, 0), last_error = left(p_error, 500),
         state = CASE WHEN p_status = 410 OR d.attempts >= 12 OR v_next > d.since_at + interval '24 hours' THEN 'failed' ELSE 'pending' END,
         next_at = v_next, done_at = CASE WHEN p_status = 410 OR d.attempts >= 12 OR v_next > d.since_at + interval '24 hours' THEN now() END
   WHERE x.tenant_id = d.tenant_id AND x.delivery_id = d.delivery_id;
  v_down := p_status = 0 OR p_status = 429 OR p_status >= 500;
  IF v_down THEN
    INSERT INTO tb.webhook_targets AS t (tenant_id, target, open_at) VALUES (d.tenant_id, d.target, now() + greatest(1, least(p_after, 300)) * interval '1 second')
    ON CONFLICT (tenant_id, target) DO UPDATE SET failures = least(t.failures + 1, 20),
      open_at = now() + greatest(least(power(2, t.failures), 300), least(p_after, 300)) * interval '1 second';
  END IF;
END $$;
REVOKE ALL ON FUNCTION inquiry_webhook, inquiry_webhook_secrets, inquiry_webhook_done FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inquiry_webhook, inquiry_webhook_secrets, inquiry_webhook_done TO tb_worker;

-- ---- what an edge shows and changes
CREATE FUNCTION tb.delivery_json(d tb.deliveries, p_whole boolean) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('id', d.delivery_id, 'runId', d.run_id, 'event', d.event, 'url', d.target, 'state', d.state,
    'attempts', d.attempts, 'status', d.status, 'error', d.last_error, 'createdAt', tb.as_text(d.created_at), 'endedAt', tb.as_text(d.done_at),
    'nextAttemptAt', CASE WHEN d.state = 'pending' THEN tb.as_text(d.next_at) END))
    || CASE WHEN p_whole THEN jsonb_build_object('body', d.body) ELSE '{}' END $$;

-- 'done' or 'absent'. It keeps its id, and has all its tries again.
CREATE FUNCTION tb.webhook_redeliver(p_delivery uuid, p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.edge_tenant(); v_target text;
BEGIN
  UPDATE tb.deliveries d SET state = 'pending', attempts = 0, since_at = now(), next_at = now(), done_at = NULL
   WHERE d.tenant_id = v_tenant AND d.delivery_id = p_delivery AND d.channel = 'webhook' RETURNING d.target INTO v_target;
  IF NOT FOUND THEN RETURN 'absent'; END IF;
  DELETE FROM tb.webhook_targets t WHERE t.tenant_id = v_tenant AND t.target = v_target;
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object)
  VALUES (v_tenant, p_audit, p_actor, 'webhook.redeliver', 'delivery:' || p_delivery);
  RETURN 'done';
END $$;

CREATE FUNCTION tb.webhook_secret_json() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('id', s.secret_id, 'createdAt', tb.as_text(s.created_at), 'previous',
    (SELECT jsonb_build_object('id', p.secret_id, 'createdAt', tb.as_text(p.created_at), 'expiresAt', tb.as_text(p.expires_at))
       FROM tb.webhook_secrets p WHERE p.tenant_id = s.tenant_id AND p.expires_at > now() ORDER BY p.expires_at DESC LIMIT 1)))
    FROM tb.webhook_secrets s WHERE s.tenant_id = tb.edge_tenant() AND s.expires_at IS NULL $$;

-- 'done'; 'exists': there is one, and it is not to be replaced. The one before it goes on signing for a day.
CREATE FUNCTION tb.webhook_secret_set(p_secret uuid, p_sealed bytea, p_master bytea, p_rotate boolean, p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.edge_tenant();
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('tb.webhook_secrets', v_tenant));
  IF NOT p_rotate AND EXISTS (SELECT FROM tb.webhook_secrets s WHERE s.tenant_id = v_tenant AND s.expires_at IS NULL) THEN RETURN 'exists'; END IF;
  DELETE FROM tb.webhook_secrets s WHERE s.tenant_id = v_tenant AND s.expires_at IS NOT NULL;
  UPDATE tb.webhook_secrets s SET expires_at = now() + interval '24 hours' WHERE s.tenant_id = v_tenant;
  INSERT INTO tb.webhook_secrets (tenant_id, secret_id, sealed, master_id) VALUES (v_tenant, p_secret, p_sealed, p_master);
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object)
  VALUES (v_tenant, p_audit, p_actor, CASE WHEN p_rotate THEN 'webhook_secret.rotate' ELSE 'webhook_secret.create' END, p_secret::text);
  UPDATE tb.deliveries d SET next_at = now() WHERE d.tenant_id = v_tenant AND d.channel = 'webhook' AND d.state = 'pending' AND d.attempts = 0;
  RETURN 'done';
END $$;
REVOKE ALL ON FUNCTION delivery_json, webhook_redeliver, webhook_secret_json, webhook_secret_set FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delivery_json, webhook_redeliver, webhook_secret_json, webhook_secret_set TO tb_edge;
