-- SPDX-License-Identifier: Apache-2.0
SET LOCAL search_path = tb;

-- A webhook secret, sealed anew to another master key: for the owner alone. A row has one secret for as long as it is there.
CREATE FUNCTION tb.webhook_secret_reseal(p_tenant bigint, p_secret uuid, p_sealed bytea, p_master bytea) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, tb, pg_temp AS $$
  WITH made AS (UPDATE tb.webhook_secrets s SET sealed = p_sealed, master_id = p_master
   WHERE s.tenant_id = p_tenant AND s.secret_id = p_secret RETURNING 1)
  SELECT EXISTS (SELECT FROM made) $$;

-- Provider keys and webhook secrets that another master key than that one seals.
CREATE FUNCTION tb.sealed_otherwise(p_master bytea)
RETURNS TABLE (tenant_id bigint, key_id uuid, provider text, base_url text, revision integer, master_id bytea, sealed bytea, is_webhook boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT k.tenant_id, k.key_id, k.provider, k.base_url, k.revision, k.master_id, k.sealed, false FROM tb.provider_keys k WHERE k.master_id <> p_master
  UNION ALL SELECT s.tenant_id, s.secret_id, 'webhook', NULL, 0, s.master_id, s.sealed, true FROM tb.webhook_secrets s WHERE s.master_id <> p_master
  ORDER BY 1, 2 $$;
REVOKE ALL ON FUNCTION sealed_otherwise, webhook_secret_reseal FROM PUBLIC;
