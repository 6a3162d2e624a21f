-- SPDX-License-Identifier: Apache-2.0
-- Whether a run is of builder mode, for the door: whose session the message stands in does not matter, only whose run it is, which who asks knows.

SET LOCAL search_path = tb;

CREATE FUNCTION tb.run_builds(p_run uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_tenant bigint := tb.edge_tenant(); v_session uuid; v_seq bigint; v_mode text;
BEGIN
  SELECT q.session_id, q.input_seq INTO v_session, v_seq FROM tb.agent_run_queue q WHERE q.tenant_id = v_tenant AND q.run_id BETWEEN p_run AND p_run
   ORDER BY q.run_id LIMIT 1;
  IF FOUND AND v_seq IS NULL THEN
    SELECT i.body->>'mode' INTO v_mode FROM tb.run_inputs i WHERE i.tenant_id = v_tenant AND i.run_id = p_run;
    RETURN v_mode IS NOT DISTINCT FROM 'builder';
  ELSIF NOT FOUND THEN
    SELECT r.session_id, r.input_seq, r.input->>'mode' INTO v_session, v_seq, v_mode FROM tb.agent_runs r
     WHERE r.tenant_id = v_tenant AND r.run_id BETWEEN p_run AND p_run ORDER BY r.run_id LIMIT 1;
  END IF;
  IF v_seq IS NOT NULL THEN
    SELECT m.content->>'mode' INTO v_mode FROM tb.session_messages m WHERE m.tenant_id = v_tenant AND m.session_id = v_session AND m.seq = v_seq;
  END IF;
  RETURN v_mode IS NOT DISTINCT FROM 'builder';
END $$;

REVOKE ALL ON FUNCTION run_builds FROM PUBLIC;
GRANT EXECUTE ON FUNCTION run_builds TO tb_edge;
