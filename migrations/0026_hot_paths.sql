-- SPDX-License-Identifier: Apache-2.0
-- What every turn calls, some of it ten times: functions in SQL are planned at each call, those in plpgsql once a connection.

SET LOCAL search_path = tb;

CREATE OR REPLACE FUNCTION tb.cap_tenant() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN (SELECT c.tenant_id FROM tb.worker_caps c
   WHERE c.cap_sha256 = sha256(convert_to(current_setting('app.cap', true), 'UTF8')) AND c.expires_at > now());
END $$;

CREATE OR REPLACE FUNCTION tb.price_report(p_tenant bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_agg(jsonb_build_object('of', CASE p.tenant_id WHEN 0 THEN 'platform' ELSE 'tenant' END, 'provider', p.provider,
           'model', p.model, 'input', p.micros_in, 'output', p.micros_out, 'cached', p.micros_cached, 'cacheWrite', p.micros_cache_write,
           'changedAt', tb.as_text(p.changed_at)) ORDER BY p.tenant_id DESC, p.provider, p.model), '[]')
    FROM tb.model_prices p WHERE p.tenant_id IN (p_tenant, 0));
END $$;

-- The time is no condition that an index answers: one of a tenant's sessions by time would be walked for each run that ends.
CREATE OR REPLACE FUNCTION tb.session_active() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  UPDATE tb.agent_sessions s SET last_active_at = now()
   WHERE s.tenant_id = NEW.tenant_id AND s.session_id = NEW.session_id AND s.last_active_at + interval '1 minute' < now();
  RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION cap_tenant, price_report, session_active FROM PUBLIC;
