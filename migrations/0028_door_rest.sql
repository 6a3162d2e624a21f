-- SPDX-License-Identifier: Apache-2.0
SET LOCAL search_path = tb;

-- A provider key or a webhook secret, sealed anew to another master key: for the owner alone. A webhook's row has one secret for as long as it is there,
-- a provider key is meant at that revision.
CREATE FUNCTION tb.secret_reseal(p_webhook boolean, p_tenant bigint, p_key uuid, p_revision integer, p_sealed bytea, p_master bytea) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF NOT p_webhook THEN
    RETURN tb.provider_key_reseal(p_tenant, p_key, p_revision, p_sealed, p_master);
  END IF;
  UPDATE tb.webhook_secrets s SET sealed = p_sealed, master_id = p_master WHERE s.tenant_id = p_tenant AND s.secret_id = p_key;
  RETURN FOUND;
END $$;

-- Provider keys and webhook secrets that another master key than that one seals.
CREATE FUNCTION tb.sealed_otherwise(p_master bytea)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, revision integer, master_id bytea, sealed bytea, is_webhook boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT k.tenant_id, k.key_id, k.provider, k.base_url, k.revision, k.master_id, k.sealed, false FROM tb.provider_keys k WHERE k.master_id <> p_master
  UNION ALL SELECT s.tenant_id, s.secret_id, 'webhook', NULL, 0, s.master_id, s.sealed, true FROM tb.webhook_secrets s WHERE s.master_id <> p_master
  ORDER BY 1, 2 $$;
REVOKE ALL ON FUNCTION sealed_otherwise, secret_reseal FROM PUBLIC;
