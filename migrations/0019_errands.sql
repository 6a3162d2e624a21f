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
