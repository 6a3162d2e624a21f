-- SPDX-License-Identifier: Apache-2.0
-- Keys of model providers: sealed, chosen, cooled down.

SET LOCAL search_path = tb;

-- `sealed` is a sealed box to the public half of a master key that only workers hold (proto/keys/key_seal.h). Tenant, key, provider and base URL
-- are bound into it: a row that is copied to another tenant, or sent to another address, opens for nobody.
ALTER TABLE provider_keys
  ADD COLUMN master_id   bytea NOT NULL DEFAULT '' CHECK (octet_length(master_id) <= 8),  -- of the master key it is sealed to
  ADD COLUMN hint        text NOT NULL DEFAULT '',     -- the secret's last characters, for people
  ADD COLUMN revision    integer NOT NULL DEFAULT 1,   -- + 1 at every change
  ADD COLUMN api_version text CHECK (octet_length(api_version) BETWEEN 1 AND 40),
  ADD COLUMN bearer      boolean NOT NULL DEFAULT false,
  ADD COLUMN priority    smallint NOT NULL DEFAULT 0,  -- of the keys of one provider, the lowest is asked first
  ADD COLUMN rotated_at  timestamptz,
  ADD CHECK (provider ~ '^[a-z0-9-]{1,40}$'),
  ADD CHECK (octet_length(label) BETWEEN 1 AND 63),
  ADD CHECK (octet_length(base_url) BETWEEN 1 AND 1000);
CREATE UNIQUE INDEX provider_keys_label ON provider_keys (tenant_id, provider, label) WHERE label IS NOT NULL;

-- What an edge may say of a key; it reads everything but `sealed`, which it can only write.
REVOKE INSERT, UPDATE ON provider_keys FROM tb_edge;
GRANT SELECT (master_id, hint, revision, api_version, bearer, priority, rotated_at) ON provider_keys TO tb_edge;
GRANT INSERT (tenant_id, key_id, provider, label, base_url, sealed, master_id, hint, api_version, bearer, priority) ON provider_keys TO tb_edge;
GRANT UPDATE (label, disabled_at, base_url, sealed, master_id, hint, revision, api_version, bearer, priority, rotated_at)
  ON provider_keys TO tb_edge;

-- As people see them, in the order in which they are used. NULL: of every provider; every key.
CREATE FUNCTION tb.provider_keys_json(p_tenant bigint, p_provider text, p_key uuid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', k.key_id, 'provider', k.provider, 'label', k.label, 'hint', k.hint, 'baseUrl', k.base_url,
         'version', k.api_version, 'auth', CASE WHEN k.bearer THEN 'bearer' ELSE 'key' END, 'priority', k.priority,
         'disabled', k.disabled_at IS NOT NULL, 'revision', k.revision, 'masterKey', encode(k.master_id, 'hex'),
         'createdAt', tb.as_text(k.created_at), 'rotatedAt', tb.as_text(k.rotated_at)) ORDER BY k.provider, k.priority, k.created_at, k.key_id), '[]')
    FROM tb.provider_keys k
   WHERE k.tenant_id = p_tenant AND (p_provider IS NULL OR k.provider = p_provider) AND (p_key IS NULL OR k.key_id = p_key) $$;

CREATE FUNCTION tb.provider_key_noted(p_tenant bigint, p_key uuid, p_what text, p_detail jsonb, p_audit uuid, p_actor text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  INSERT INTO tb.audit_log (tenant_id, audit_id, actor, action, object, detail)
  VALUES (p_tenant, p_audit, p_actor, 'provider_key.' || p_what, p_key::text, jsonb_strip_nulls(p_detail)) $$;

-- 'done'; 'taken': the label is another key's; 'full': the tenant has as many as it may.
CREATE FUNCTION tb.provider_key_add(p_tenant bigint, p_key uuid, p_provider text, p_label text, p_base_url text, p_api_version text,
  p_bearer boolean, p_priority smallint, p_sealed bytea, p_master bytea, p_hint text, p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('tb.provider_keys', p_tenant));
  IF (SELECT count(*) FROM tb.provider_keys k WHERE k.tenant_id = p_tenant) >= 64 THEN
    RETURN 'full';
  END IF;
  IF EXISTS (SELECT FROM tb.provider_keys k WHERE k.tenant_id = p_tenant AND k.provider = p_provider AND k.label = p_label) THEN
    RETURN 'taken';
  END IF;
  INSERT INTO tb.provider_keys (tenant_id, key_id, provider, label, base_url, api_version, bearer, priority, sealed, master_id, hint)
  VALUES (p_tenant, p_key, p_provider, p_label, p_base_url, p_api_version, p_bearer, p_priority, p_sealed, p_master, p_hint);
  PERFORM tb.provider_key_noted(p_tenant, p_key, 'add', jsonb_build_object('provider', p_provider, 'label', p_label, 'baseUrl', p_base_url,
          'hint', p_hint), p_audit, p_actor);
  RETURN 'done';
END $$;

-- What is NULL stays, and an empty text takes a label away. With a new secret (p_sealed) come all columns that stand beside it: base URL,
-- API version and way of authentication as they are given. 'absent', 'stale' (another revision stands),
-- 'taken' (the label is another key's), 'done'.
CREATE FUNCTION tb.provider_key_change(p_tenant bigint, p_key uuid, p_provider text, p_label text, p_disabled boolean, p_priority smallint,
  p_sealed bytea, p_master bytea, p_hint text, p_base_url text, p_api_version text, p_bearer boolean, p_expect integer, p_audit uuid,
  p_actor text, OUT outcome text, OUT version integer)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('tb.provider_keys', p_tenant));
  SELECT k.revision INTO version FROM tb.provider_keys k
   WHERE k.tenant_id = p_tenant AND k.key_id = p_key AND k.provider = p_provider FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  IF EXISTS (SELECT FROM tb.provider_keys k WHERE k.tenant_id = p_tenant AND k.provider = p_provider AND k.label = p_label
                AND k.key_id <> p_key) THEN
    outcome := 'taken'; RETURN;
  END IF;
  version := version + 1;
  UPDATE tb.provider_keys k SET revision = provider_key_change.version,
         label = CASE WHEN p_label IS NULL THEN k.label ELSE nullif(p_label, '') END,
         disabled_at = CASE WHEN p_disabled IS NULL THEN k.disabled_at WHEN p_disabled THEN coalesce(k.disabled_at, now()) END,
         priority = coalesce(p_priority, k.priority)
   WHERE k.tenant_id = p_tenant AND k.key_id = p_key;
  IF p_sealed IS NOT NULL THEN
    UPDATE tb.provider_keys k SET sealed = p_sealed, master_id = p_master, hint = p_hint, base_url = p_base_url,
           api_version = p_api_version, bearer = p_bearer, rotated_at = now()
     WHERE k.tenant_id = p_tenant AND k.key_id = p_key;
  END IF;
  PERFORM tb.provider_key_noted(p_tenant, p_key, CASE WHEN p_sealed IS NOT NULL THEN 'rotate' WHEN p_disabled THEN 'disable'
            WHEN NOT p_disabled THEN 'enable' ELSE 'change' END,
          jsonb_build_object('provider', p_provider, 'label', p_label, 'disabled', p_disabled, 'priority', p_priority, 'baseUrl', p_base_url,
            'hint', p_hint, 'revision', version), p_audit, p_actor);
  outcome := 'done';
END $$;

CREATE FUNCTION tb.provider_key_remove(p_tenant bigint, p_key uuid, p_provider text, p_expect integer, p_audit uuid, p_actor text,
  OUT outcome text, OUT version integer)
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_hint text; v_label text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('tb.provider_keys', p_tenant));
  SELECT k.revision, k.hint, k.label INTO version, v_hint, v_label FROM tb.provider_keys k
   WHERE k.tenant_id = p_tenant AND k.key_id = p_key AND k.provider = p_provider;
  IF NOT FOUND THEN
    outcome := 'absent'; RETURN;
  END IF;
  IF p_expect <> version THEN
    outcome := 'stale'; RETURN;
  END IF;
  DELETE FROM tb.provider_keys k WHERE k.tenant_id = p_tenant AND k.key_id = p_key;
  PERFORM tb.provider_key_noted(p_tenant, p_key, 'remove', jsonb_build_object('provider', p_provider, 'label', v_label, 'hint', v_hint),
          p_audit, p_actor);
  outcome := 'done';
END $$;

-- The secret of a row, sealed anew to another master key: for the owner alone, and only while the row is the one that was opened.
CREATE FUNCTION tb.provider_key_reseal(p_tenant bigint, p_key uuid, p_revision integer, p_sealed bytea, p_master bytea) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  WITH made AS (UPDATE tb.provider_keys k SET sealed = p_sealed, master_id = p_master, revision = k.revision + 1
   WHERE k.tenant_id = p_tenant AND k.key_id = p_key AND k.revision = p_revision RETURNING 1)
  SELECT EXISTS (SELECT FROM made) $$;

-- ---- cooldowns: what a refusal of a provider says to every worker of every node
-- A row is a row of failures without a success: `failures` counts those that came when no cooldown stood, so that a herd that is refused at
-- the same moment counts once. It stays when its time is over, until a success clears it. Model '' stands for all of them: a key that is
-- refused, or not paid for, is so for each. The nil key is the one of the node's own settings; it and the platform's keys are everybody's.

-- A cooldown is of one secret: another secret, or the same one allowed again, begins anew.
CREATE FUNCTION tb.provider_key_forget() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.sealed = OLD.sealed AND NEW.disabled_at IS NOT DISTINCT FROM OLD.disabled_at THEN
    RETURN NULL;
  END IF;
  DELETE FROM tb.provider_cooldowns c WHERE c.tenant_id = OLD.tenant_id AND c.provider = OLD.provider AND c.key_id = OLD.key_id;
  RETURN NULL;
END $$;
CREATE TRIGGER provider_key_changed AFTER UPDATE OF sealed, disabled_at OR DELETE ON provider_keys
  FOR EACH ROW EXECUTE FUNCTION tb.provider_key_forget();

-- Whose rows the cooldowns of a key are, of those the worker may use; NULL: it may not use it, or it is gone.
CREATE FUNCTION tb.cooldown_owner(p_provider text, p_key uuid) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.cap_tenant();
BEGIN
  IF v_tenant IS NULL THEN
    RAISE EXCEPTION 'not a worker of any tenant' USING ERRCODE = 'TB003';
  END IF;
  IF p_key = '00000000-0000-0000-0000-000000000000' THEN
    RETURN 0;
  END IF;
  RETURN (SELECT max(k.tenant_id) FROM tb.provider_keys k
           WHERE k.tenant_id IN (0, v_tenant) AND k.key_id = p_key AND k.provider = p_provider);
END $$;

-- 30 s or, the first time, what the provider asked for; then 1 min, 5 min, at least what it asks for; of a refused or unpaid key 10 min; at most a day. Until when; NULL: there is no
-- such key.
CREATE FUNCTION tb.cooldown_note(p_provider text, p_model text, p_key uuid, p_reason text, p_floor_us bigint) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE
  v_tenant bigint := tb.cooldown_owner(p_provider, p_key);
  v_whole boolean := p_reason IN ('model_auth', 'model_billing');
  v_floor timestamptz := now() + least(greatest(p_floor_us, 0), 86400000000) * interval '1 microsecond';
  v_until timestamptz;
BEGIN
  IF v_tenant IS NULL THEN
    RETURN NULL;
  END IF;
  DELETE FROM tb.provider_cooldowns c
   WHERE c.tenant_id = v_tenant AND c.provider = p_provider AND c.key_id = p_key AND c.until_at < now() - interval '1 day';
  INSERT INTO tb.provider_cooldowns AS c (tenant_id, provider, model, key_id, until_at, reason, failures)
  VALUES (v_tenant, p_provider, CASE WHEN v_whole THEN '' ELSE left(p_model, 250) END, p_key,
          CASE WHEN v_whole THEN greatest(v_floor, now() + interval '10 min') WHEN p_floor_us > 0 THEN v_floor ELSE now() + interval '30 s' END,
          left(p_reason, 40), 1)
  ON CONFLICT (tenant_id, provider, model, key_id) DO UPDATE SET
    until_at = greatest(c.until_at, v_floor, CASE WHEN c.until_at > now() THEN now() WHEN v_whole THEN now() + interval '10 min'
                 WHEN c.failures = 1 THEN now() + interval '1 min' ELSE now() + interval '5 min' END),
    failures = CASE WHEN c.until_at > now() THEN c.failures ELSE least(c.failures + 1, 1000) END,
    reason = excluded.reason
  RETURNING c.until_at INTO v_until;
  RETURN v_until;
END $$;

CREATE FUNCTION tb.cooldown_clear(p_provider text, p_model text, p_key uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  DELETE FROM tb.provider_cooldowns c
   WHERE c.tenant_id = tb.cooldown_owner(p_provider, p_key) AND c.provider = p_provider AND c.model IN (p_model, '') AND c.key_id = p_key $$;

-- What stands against the keys that the worker may use, the node's own among them. NULL: of every provider. left_us 0: its time is over.
CREATE FUNCTION tb.cooldowns(p_providers text[])
RETURNS TABLE (provider text, model text, key_id uuid, reason text, failures integer, left_us bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT c.provider, c.model, c.key_id, c.reason, c.failures,
         greatest(0, (extract(epoch FROM c.until_at - now()) * 1000000)::bigint)
    FROM tb.provider_cooldowns c
   WHERE c.tenant_id IN (tb.cap_tenant(), 0) AND tb.cap_tenant() IS NOT NULL AND (p_providers IS NULL OR c.provider = ANY (p_providers))
   ORDER BY c.until_at DESC LIMIT 1000 $$;

REVOKE ALL ON FUNCTION provider_keys_json, provider_key_noted, provider_key_add, provider_key_change, provider_key_remove,
  provider_key_reseal, provider_key_forget, cooldown_owner, cooldown_note, cooldown_clear, cooldowns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION provider_keys_json, provider_key_noted, provider_key_add, provider_key_change, provider_key_remove TO tb_edge;
GRANT EXECUTE ON FUNCTION cooldown_note, cooldown_clear, cooldowns TO tb_worker;
-- Read through tb.cooldowns: the platform's rows are everybody's, the policy of the table shows a tenant its own.
REVOKE SELECT ON provider_cooldowns FROM tb_worker;
