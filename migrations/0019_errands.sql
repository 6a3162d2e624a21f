-- SPDX-License-Identifier: Apache-2.0
-- Inquiries: a question outside of any lane that one worker answers once. The test call of a provider key, and the request of a step.

SET LOCAL search_path = tb;

-- What a worker may look at for one inquiry, and until when: the named object of the named tenant (0: the platform) and nothing else. Its
-- capability is none of tb.worker_caps: row-level security shows nothing for it, and no function that writes for runs takes it.
CREATE TABLE inquiries (
  cap_sha256 bytea PRIMARY KEY CHECK (octet_length(cap_sha256) = 32),
  tenant_id  bigint NOT NULL,
  worker_id  uuid NOT NULL,                            -- the worker's incarnation
  kind       text NOT NULL CHECK (kind IN ('key', 'request')),
  object     uuid NOT NULL,                            -- the key, or the run
  step       integer NOT NULL DEFAULT 0,               -- of the run; 0: the last one
  expires_at timestamptz NOT NULL
);
ALTER TABLE inquiries ENABLE ROW LEVEL SECURITY;       -- and no policy: it is for the functions below

CREATE FUNCTION tb.inquiry_begin(p_worker uuid, p_tenant bigint, p_kind text, p_object uuid, p_step integer, p_cap_sha256 bytea, p_seconds integer,
  p_by text, p_model text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  DELETE FROM tb.inquiries i WHERE i.expires_at < now();
  INSERT INTO tb.inquiries (cap_sha256, tenant_id, worker_id, kind, object, step, expires_at)
  VALUES (p_cap_sha256, p_tenant, p_worker, p_kind, p_object, p_step, now() + least(p_seconds, 60) * interval '1 second');
  IF p_kind = 'key' THEN
    PERFORM tb.audit(p_tenant, p_by, 'provider_key.test', p_object::text, jsonb_strip_nulls(jsonb_build_object('model', nullif(p_model, ''))));
  END IF;
END $$;

CREATE FUNCTION tb.inquiry_end(p_cap_sha256 bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.inquiries i WHERE i.cap_sha256 = p_cap_sha256 $$;

CREATE FUNCTION tb.inquiry_of(p_cap text, p_kind text) RETURNS tb.inquiries
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT i FROM tb.inquiries i WHERE i.cap_sha256 = sha256(convert_to(p_cap, 'UTF8')) AND i.expires_at > now() AND i.kind = p_kind $$;

-- The key that an inquiry is about, disabled or not.
CREATE FUNCTION tb.inquiry_key(p_cap text)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, api_version text, bearer boolean, revision integer, master_id bytea, sealed bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT k.tenant_id, k.key_id, k.provider, k.base_url, k.api_version, k.bearer, k.revision, k.master_id, k.sealed
    FROM tb.inquiry_of(p_cap, 'key') i JOIN tb.provider_keys k ON k.tenant_id = i.tenant_id AND k.key_id = i.object $$;

-- It was taken, by that model, or without one by the provider's list, which says nothing of payment.
CREATE FUNCTION tb.inquiry_key_taken(p_cap text, p_model text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.provider_cooldowns c USING tb.inquiry_of(p_cap, 'key') i
   WHERE c.tenant_id = i.tenant_id AND c.key_id = i.object
     AND (p_model <> '' AND c.model IN (p_model, '') OR p_model = '' AND c.model = '' AND c.reason = 'model_auth') $$;

REVOKE ALL ON FUNCTION inquiry_begin, inquiry_end, inquiry_of, inquiry_key, inquiry_key_taken FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inquiry_begin, inquiry_end TO tb_supervisor;
GRANT EXECUTE ON FUNCTION inquiry_key, inquiry_key_taken TO tb_worker;

-- ---- when a key was used last
ALTER TABLE provider_keys ADD COLUMN last_used_at timestamptz;
GRANT SELECT (last_used_at) ON provider_keys TO tb_edge;

CREATE OR REPLACE FUNCTION tb.provider_keys_json(p_tenant bigint, p_provider text, p_key uuid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', k.key_id, 'provider', k.provider, 'label', k.label, 'hint', k.hint, 'baseUrl', k.base_url,
         'version', k.api_version, 'auth', CASE WHEN k.bearer THEN 'bearer' ELSE 'key' END, 'priority', k.priority,
         'disabled', k.disabled_at IS NOT NULL, 'revision', k.revision, 'masterKey', encode(k.master_id, 'hex'),
         'createdAt', tb.as_text(k.created_at), 'rotatedAt', tb.as_text(k.rotated_at), 'lastUsedAt', tb.as_text(k.last_used_at))
         ORDER BY k.provider, k.priority, k.created_at, k.key_id), '[]')
    FROM tb.provider_keys k
   WHERE k.tenant_id = p_tenant AND (p_provider IS NULL OR k.provider = p_provider) AND (p_key IS NULL OR k.key_id = p_key) $$;
REVOKE ALL ON FUNCTION provider_keys_json FROM PUBLIC;

-- ---- what a question was made of
-- The part of a system prompt that is neither the agent's revision nor the message: one row a text, as long as it is asked with and 40 days more.
-- `digest` is BLAKE2b of 16 bytes, as a worker made it.
CREATE TABLE prompt_texts (
  tenant_id bigint NOT NULL,
  digest    bytea NOT NULL CHECK (octet_length(digest) = 16),
  body      text NOT NULL,
  seen_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, digest)
);
ALTER TABLE prompt_texts ENABLE ROW LEVEL SECURITY;    -- and no policy: it is for the functions below

-- {"key"}: it is in use, said once a minute a worker; {"digest", "text"}: such a text is asked with, said once a day a worker. The key's row is
-- written once a minute, and nobody waits for who writes it.
CREATE FUNCTION tb.act_asked(p_tenant bigint, p_session uuid, p_run uuid, p_head bigint, p_data jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF p_data ? 'key' THEN
    UPDATE tb.provider_keys k SET last_used_at = now()
     WHERE (k.tenant_id, k.key_id) IN (SELECT x.tenant_id, x.key_id FROM tb.provider_keys x
       WHERE x.tenant_id IN (p_tenant, 0) AND x.key_id = (p_data->>'key')::uuid
         AND (x.last_used_at IS NULL OR x.last_used_at < now() - interval '1 minute') FOR NO KEY UPDATE SKIP LOCKED);
  END IF;
  IF p_data ? 'text' THEN
    INSERT INTO tb.prompt_texts AS t (tenant_id, digest, body) VALUES (p_tenant, decode(p_data->>'digest', 'hex'), p_data->>'text')
    ON CONFLICT (tenant_id, digest) DO UPDATE SET seen_at = now() WHERE t.seen_at < now() - interval '1 hour';
    DELETE FROM tb.prompt_texts t WHERE t.tenant_id = p_tenant AND t.seen_at < now() - interval '40 days';
  END IF;
  RETURN NULL;
END $$;

-- ---- what an inquiry reads of a step
-- Which question it was: of the stored answer, or of the one that the run failed with. A step that is under way has neither: head NULL. No row:
-- there is no such run, or it is a job, whose messages may be somebody's import.
CREATE FUNCTION tb.inquiry_step(p_cap text)
RETURNS TABLE (session_id uuid, agent_id uuid, revision integer, config jsonb, input_seq bigint, input jsonb, step integer, head bigint, asked jsonb,
  context jsonb, failed boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE
  i tb.inquiries := tb.inquiry_of(p_cap, 'request'); r record; v_failed jsonb; v_step integer; v_head bigint; v_asked jsonb; v_context jsonb;
BEGIN
  SELECT q.session_id, q.agent_id, q.agent_revision, q.input_seq, NULL::integer AS steps INTO r
    FROM tb.agent_run_queue q WHERE q.tenant_id = i.tenant_id AND q.run_id = i.object AND q.kind = 'turn';
  IF NOT FOUND THEN
    SELECT x.session_id, x.agent_id, x.agent_revision, x.input_seq, x.steps::integer AS steps INTO r
      FROM tb.agent_runs x WHERE x.tenant_id = i.tenant_id AND x.run_id = i.object AND x.kind = 'turn';
    IF NOT FOUND THEN RETURN; END IF;
    SELECT e.body->'metadata'->'asked' INTO v_failed FROM tb.run_events e
     WHERE e.tenant_id = i.tenant_id AND e.run_id = i.object AND e.type = 'error' AND e.body->'metadata' ? 'asked'
     ORDER BY e.ev_seq DESC LIMIT 1;
  END IF;
  v_step := coalesce(nullif(i.step, 0), (v_failed->>'step')::integer, r.steps);
  IF (v_failed->>'step')::integer = v_step THEN
    v_head := (v_failed->>'head')::bigint; v_asked := v_failed; v_context := v_failed;
  ELSE
    v_failed := NULL;
    SELECT x.step, x.seq - 1, x.content->'asked', x.content->'context' INTO v_step, v_head, v_asked, v_context FROM tb.session_messages x
     WHERE x.tenant_id = i.tenant_id AND x.session_id = r.session_id AND x.seq > coalesce(r.input_seq, 0)
       AND x.seq < coalesce(r.input_seq, 0) + 20000 AND x.run_id = i.object AND x.role = 'assistant' AND (v_step IS NULL OR x.step = v_step)
     ORDER BY CASE WHEN v_step IS NULL THEN -x.seq ELSE x.seq END LIMIT 1;
  END IF;
  RETURN QUERY SELECT r.session_id, r.agent_id, r.agent_revision, g.config, r.input_seq, y.content, v_step, v_head, v_asked, v_context,
         v_failed IS NOT NULL
    FROM (SELECT) one LEFT JOIN tb.agent_revisions g ON g.tenant_id = i.tenant_id AND g.agent_id = r.agent_id AND g.revision = r.agent_revision
    LEFT JOIN tb.session_messages y ON y.tenant_id = i.tenant_id AND y.session_id = r.session_id AND y.seq = r.input_seq;
END $$;

-- The messages that such a question could show, of the run's own session.
CREATE FUNCTION tb.inquiry_messages(p_cap text, p_session uuid, p_from bigint, p_head bigint, p_summary bigint)
RETURNS TABLE (seq bigint, role text, step integer, run_id uuid, content jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT m.seq, m.role, m.step::integer, m.run_id, m.content FROM tb.inquiry_of(p_cap, 'request') i
    JOIN tb.session_messages m ON m.tenant_id = i.tenant_id AND m.session_id = p_session
   WHERE (m.seq BETWEEN p_from AND p_head OR m.seq = p_summary)
     AND (EXISTS (SELECT FROM tb.agent_runs x WHERE x.tenant_id = i.tenant_id AND x.run_id = i.object AND x.session_id = p_session)
       OR EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = i.tenant_id AND q.run_id = i.object AND q.session_id = p_session))
   ORDER BY m.seq LIMIT 5001 $$;

CREATE FUNCTION tb.inquiry_text(p_cap text, p_digest text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT t.body FROM tb.inquiry_of(p_cap, 'request') i JOIN tb.prompt_texts t ON t.tenant_id = i.tenant_id AND t.digest = decode(p_digest, 'hex') $$;

-- The keys that the tenant's runs may be given, disabled ones too: so that none of them leaves with what is shown.
CREATE FUNCTION tb.inquiry_keys(p_cap text)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, api_version text, bearer boolean, revision integer, master_id bytea, sealed bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT k.tenant_id, k.key_id, k.provider, k.base_url, k.api_version, k.bearer, k.revision, k.master_id, k.sealed
    FROM tb.inquiry_of(p_cap, 'request') i JOIN tb.provider_keys k ON k.tenant_id IN (i.tenant_id, 0) LIMIT 200 $$;

REVOKE ALL ON FUNCTION act_asked, inquiry_step, inquiry_messages, inquiry_text, inquiry_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inquiry_step, inquiry_messages, inquiry_text, inquiry_keys TO tb_worker;
