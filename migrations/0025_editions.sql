-- SPDX-License-Identifier: Apache-2.0
-- Versions of what people edit: a change may name the one that it means to replace.

SET LOCAL search_path = tb;

ALTER TABLE agent_sessions ADD COLUMN edition integer NOT NULL DEFAULT 1;  -- + 1 at every change of title, meta or queue mode
GRANT UPDATE (edition) ON agent_sessions TO tb_edge;

-- ------------------------------------------------------------------ budgets and prices
-- Both change a tenant's money_terms; its version is that of the two lists.
CREATE FUNCTION tb.money_version() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce((SELECT m.version FROM tb.money_terms m WHERE m.tenant_id = tb.edge_tenant()), 0) $$;

-- Whether that version stands, and none can come before this transaction's end. NULL: any does.
CREATE FUNCTION tb.money_stands(p_expect integer) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v bigint;
BEGIN
  IF coalesce(tb.edge_tenant(), 0) < 1 THEN
    RAISE EXCEPTION 'no tenant' USING ERRCODE = 'TB003';
  END IF;
  INSERT INTO tb.money_terms AS m (tenant_id, version) VALUES (tb.edge_tenant(), 0) ON CONFLICT (tenant_id) DO UPDATE SET version = m.version
    RETURNING m.version INTO v;
  RETURN p_expect IS NULL OR v = p_expect;
END $$;

CREATE FUNCTION tb.budget_edit(p_expect integer, p_scope text, p_id text, p_period text, p_tokens bigint, p_micros bigint, p_calls bigint, p_seconds bigint,
  p_audit uuid, p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF NOT tb.money_stands(p_expect) THEN
    RETURN 'stale';
  END IF;
  RETURN tb.budget_set(tb.edge_tenant(), p_scope, p_id, p_period, p_tokens, p_micros, p_calls, p_seconds, p_audit, p_actor);
END $$;
CREATE FUNCTION tb.price_edit(p_expect integer, p_provider text, p_model text, p_in bigint, p_out bigint, p_cached bigint, p_write bigint, p_audit uuid,
  p_actor text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
BEGIN
  IF NOT tb.money_stands(p_expect) THEN
    RETURN 'stale';
  END IF;
  RETURN CASE WHEN tb.price_set(tb.edge_tenant(), p_provider, p_model, p_in, p_out, p_cached, p_write, p_audit, p_actor) THEN 'done' ELSE 'absent' END;
END $$;
REVOKE ALL ON FUNCTION money_version, money_stands, budget_edit, price_edit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION money_version, budget_edit, price_edit TO tb_edge;
REVOKE EXECUTE ON FUNCTION budget_put, price_put FROM tb_edge;

-- ------------------------------------------------------------------ what a session looks like
-- A function with a setting of its own is planned at every call; without one it is a part of the statement that calls it. Both run with their
-- caller's rights and name all that is not pg_catalog's.
ALTER FUNCTION session_json(agent_sessions) RESET search_path;
ALTER FUNCTION as_text(timestamptz) RESET search_path;
