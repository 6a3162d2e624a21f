-- SPDX-License-Identifier: Apache-2.0
-- The queue: pauses, what never-started runs leave behind, acceptance with victims and interrupts, and the claim of one run by plain
-- statements. 0011 has the rest; docs/journal.md is the manual of both.

SET LOCAL search_path = tb;

ALTER TABLE lanes DROP COLUMN paused;                -- a pause is in queue_pauses and in the supervisor's memory: a claim looks at neither
ALTER TABLE lanes ADD COLUMN blocked boolean NOT NULL DEFAULT false;  -- save this one, of a lane whose run failed: none starts in it
ALTER TABLE agent_revisions ADD CONSTRAINT on_failure_is_continue_block_or_drop_rest
  CHECK (coalesce(config->>'onFailure', 'continue') IN ('continue', 'block', 'drop_rest'));
ALTER TABLE agent_run_queue ADD COLUMN last_code text;  -- of last_error, while in retry_wait
ALTER TABLE agent_run_queue ADD COLUMN cancel_code text;  -- the first reason of cancel_requested: a run that is resumed ends with it
ALTER TABLE agent_runs ADD COLUMN input jsonb;       -- the body of a run that never reached the transcript, so that it can be redriven
ALTER TABLE agent_runs ADD COLUMN due_at timestamptz;   -- run_at, of one that was to start later than it was accepted
CREATE INDEX agent_runs_heir ON agent_runs (tenant_id, retry_of) WHERE retry_of IS NOT NULL;  -- a run is redriven once
ALTER TABLE dead_runs ADD COLUMN redriven_by text;
ALTER TABLE dead_runs DROP CONSTRAINT dead_runs_reason_check,   -- no_input: its message is not there
  ADD CONSTRAINT dead_runs_reason_check CHECK (reason IN ('attempts','poison','unknown_tool','deadline','policy','no_input'));

-- An agent's cap is for who wants one; how much of a node a tenant may have is the tenant's cap and weight.
ALTER TABLE agents ALTER max_running SET DEFAULT 1000;
UPDATE agents SET max_running = 1000 WHERE max_running = 10;

CREATE TABLE queue_pauses (                          -- what starts nothing until it is resumed; an idle lane can be paused too
  scope     text   NOT NULL CHECK (scope IN ('node','tenant','agent','lane')),
  tenant_id bigint NOT NULL,                         -- 0: the node's
  object    uuid   NOT NULL,                         -- an agent's or a session's; nil when the scope has none
  paused_by text   NOT NULL,
  paused_at timestamptz NOT NULL DEFAULT now(),
  failed_run uuid, failed_code text, failed_at timestamptz,  -- of a lane: the first run that failed since, with its error code
  PRIMARY KEY (scope, tenant_id, object),
  CHECK (scope = 'lane' OR failed_run IS NULL),
  CHECK ((scope = 'node') = (tenant_id = 0)),
  CHECK ((scope IN ('node','tenant')) = (object = '00000000-0000-0000-0000-000000000000'))
);
GRANT SELECT ON queue_pauses TO tb_supervisor;
ALTER TABLE queue_pauses ENABLE ROW LEVEL SECURITY;
CREATE POLICY supervisor ON queue_pauses TO tb_supervisor USING (true);

-- The end of a run that never started, under its lane's lock: the queue row goes, the archive keeps what happened, its stream ends. The
-- body is returned; unless a message of the transcript has it (superseded), the archive keeps it.
CREATE FUNCTION tb.archive_waiting(q tb.agent_run_queue, p_result text, p_merged_into uuid, p_code text, p_error text, p_input_seq bigint)
RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_body jsonb;
BEGIN
  DELETE FROM tb.agent_run_queue x WHERE x.tenant_id = q.tenant_id AND x.run_id = q.run_id;
  DELETE FROM tb.run_inputs x WHERE x.tenant_id = q.tenant_id AND x.run_id = q.run_id RETURNING x.body INTO v_body;
  INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, result, merged_into, error_code,
         error, input_seq, input, parent_run_id, retry_of, user_id, trace_id, enqueued_at, due_at, finished_at)
  VALUES (q.tenant_id, q.run_id, q.session_id, q.agent_id, q.kind, q.mode, q.lane_seq, q.lane_pos, p_result::tb.run_result,
          p_merged_into, p_code, p_error, p_input_seq, CASE WHEN p_input_seq IS NULL THEN v_body END, q.parent_run_id, q.retry_of,
          q.user_id, q.trace_id, q.enqueued_at, CASE WHEN q.run_at > q.enqueued_at THEN q.run_at END, now());
  IF p_result = 'superseded' THEN
    INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
    VALUES (q.tenant_id, q.run_id, 1, 'lifecycle', jsonb_build_object('phase', 'end', 'metadata',
              jsonb_build_object('result', p_result, 'mergedInto', p_merged_into)));
  ELSE
    INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
    VALUES (q.tenant_id, q.run_id, 1, 'error', jsonb_build_object('error', p_error, 'metadata', jsonb_build_object('code', p_code))),
           (q.tenant_id, q.run_id, 2, 'lifecycle', jsonb_build_object('phase', 'error', 'metadata',
              jsonb_build_object('result', p_result, 'code', p_code)));
  END IF;
  RETURN v_body;
END $$;

-- What an agent's present revision wants done about the lane of a run that failed.
CREATE FUNCTION tb.failure_policy(p_tenant bigint, p_agent uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT coalesce((SELECT g.config->>'onFailure' FROM tb.agents a
    JOIN tb.agent_revisions g ON g.tenant_id = a.tenant_id AND g.agent_id = a.agent_id AND g.revision = a.revision
   WHERE a.tenant_id = p_tenant AND a.agent_id = p_agent), 'continue') $$;

-- It is done in the transaction that archives the failure, whichever function does that, under the lane's lock: nothing starts in between.
-- Behind the run are those with a larger lane_pos: an interrupt that came for it is not.
CREATE FUNCTION tb.lane_failed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE v_policy text := tb.failure_policy(NEW.tenant_id, NEW.agent_id); v_code text := coalesce(NEW.error_code, NEW.result::text);
  q tb.agent_run_queue;
BEGIN
  IF v_policy = 'block' THEN
    UPDATE tb.lanes l SET blocked = true WHERE l.tenant_id = NEW.tenant_id AND l.session_id = NEW.session_id AND NOT l.closed;
    IF FOUND THEN
      INSERT INTO tb.queue_pauses AS p (scope, tenant_id, object, paused_by, failed_run, failed_code, failed_at)
      VALUES ('lane', NEW.tenant_id, NEW.session_id, 'failure', NEW.run_id, v_code, clock_timestamp())
      ON CONFLICT (scope, tenant_id, object) DO UPDATE
         SET failed_run = excluded.failed_run, failed_code = excluded.failed_code, failed_at = excluded.failed_at
       WHERE p.failed_run IS NULL;
    END IF;
  ELSIF v_policy = 'drop_rest' THEN
    FOR q IN SELECT * FROM tb.agent_run_queue x
              WHERE x.tenant_id = NEW.tenant_id AND x.session_id = NEW.session_id AND x.kind = 'turn' AND x.attempt = 0
                AND x.lane_pos > NEW.lane_pos ORDER BY x.lane_pos LOOP
      PERFORM tb.archive_waiting(q, 'dropped', NULL, 'lane_failed', 'run ' || NEW.run_id || ' before it in its session failed ('
                                 || v_code || '), and the agent drops what waits then', NULL);
    END LOOP;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER lane_failed AFTER INSERT ON agent_runs FOR EACH ROW
  WHEN (NEW.result IN ('failed', 'dead', 'timed_out')) EXECUTE FUNCTION lane_failed();

-- Makes room in a full lane: the victim is dropped or folded if it still waits. Jobs are nobody's victims.
CREATE FUNCTION tb.displace(p_tenant bigint, p_session uuid, p_victim uuid, p_fold boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE q tb.agent_run_queue;
BEGIN
  SELECT * INTO q FROM tb.agent_run_queue x
   WHERE x.tenant_id = p_tenant AND x.run_id = p_victim AND x.session_id = p_session AND x.attempt = 0 AND x.kind = 'turn';
  IF NOT FOUND THEN RETURN 'kept'; END IF;
  IF p_fold THEN
    UPDATE tb.agent_run_queue x SET folded = true WHERE x.tenant_id = p_tenant AND x.run_id = p_victim;
    RETURN 'folded';
  END IF;
  PERFORM tb.archive_waiting(q, 'dropped', NULL, 'lane_full', 'newer messages took its place in the session''s full queue', NULL);
  RETURN 'dropped';
END $$;

-- What became of the victim of an item that had landed already.
CREATE FUNCTION tb.displaced(p_tenant bigint, p_victim uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
  SELECT CASE WHEN EXISTS (SELECT FROM tb.agent_runs r WHERE r.tenant_id = p_tenant AND r.run_id = p_victim AND r.result = 'dropped')
              THEN 'dropped'
              WHEN EXISTS (SELECT FROM tb.agent_run_queue q WHERE q.tenant_id = p_tenant AND q.run_id = p_victim AND q.folded) THEN 'folded'
              ELSE 'kept' END $$;

DROP FUNCTION tb.enqueue;
DROP FUNCTION tb.claim;

-- T0. See docs/journal.md. A *fused start* (p_worker not NULL) happens only on a lane without live rows, once a lane and batch. A batch of
-- one, which is what a node mostly sees, goes by plain statements: the large one costs 0.2 ms before its first row. What is rare (a full
-- lane's victims, interrupts, deletes) makes the batch go one by one through the plain statements.
CREATE FUNCTION tb.enqueue(p_node uuid, p_resend boolean, p_tenant bigint[], p_run uuid[], p_session uuid[], p_agent uuid[],
  p_slot smallint[], p_kind text[], p_mode text[], p_priority smallint[], p_order_us bigint[], p_run_at timestamptz[],
  p_deadline timestamptz[], p_body jsonb[], p_parent uuid[], p_user text[], p_key text[], p_hash bytea[], p_worker smallint[],
  p_cap_sha256 bytea[], p_victim uuid[], p_fold boolean[])
RETURNS TABLE (n integer, run_id uuid, outcome text, lane_seq bigint, lane_pos bigint, fence bigint, head_seq bigint,
  commit_no bigint, agent_revision integer, at timestamptz, victim text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE t bigint; s uuid; r uuid; starts boolean; takes integer; v_first uuid; v_hash bytea;
BEGIN
  IF p_resend THEN                                   -- the first try may still be committing: wait for it
    PERFORM tb.lock_lanes(p_tenant, p_session);
  END IF;
  IF cardinality(p_run) = 1 THEN
    at := now();
    n := 1; t := p_tenant[1]; s := p_session[1]; r := p_run[1];
    run_id := r;
    IF p_resend THEN
      outcome := 'landed';
      SELECT x.lane_seq, x.lane_pos INTO lane_seq, lane_pos FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.run_id = r;
      IF FOUND OR EXISTS (SELECT FROM tb.agent_runs x WHERE x.tenant_id = t AND x.run_id = r) THEN
        IF p_victim[1] IS NOT NULL THEN victim := tb.displaced(t, p_victim[1]); END IF;
        RETURN NEXT; RETURN;
      END IF;
    END IF;
    IF p_key[1] IS NOT NULL THEN                     -- expired keys: hourly DELETE
      INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
      SELECT t, 'enqueue', p_key[1], p_hash[1], r, at + interval '24 hours'
       WHERE EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed)
      ON CONFLICT DO NOTHING;
      IF NOT FOUND THEN
        SELECT k.run_id, k.request_hash INTO v_first, v_hash FROM tb.idempotency_keys k
         WHERE k.tenant_id = t AND k.scope = 'enqueue' AND k.key = p_key[1];
        IF FOUND AND v_first <> r THEN
          run_id := v_first;
          outcome := CASE WHEN v_hash = p_hash[1] THEN 'same' ELSE 'mismatch' END;
          RETURN NEXT; RETURN;
        END IF;
      END IF;
    END IF;
    starts := p_worker[1] IS NOT NULL
      AND NOT EXISTS (SELECT FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.session_id = s)
      AND NOT EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND l.blocked);
    takes := (starts AND p_kind[1] = 'turn')::integer; -- the message goes straight into the transcript
    UPDATE tb.lanes l SET enq_seq = l.enq_seq + 1, fence = l.fence + starts::integer, commit_no = l.commit_no + starts::integer,
           head_seq = l.head_seq + takes
     WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed
    RETURNING l.enq_seq, l.enq_seq, l.fence, l.head_seq, l.commit_no INTO lane_seq, lane_pos, fence, head_seq, commit_no;
    IF NOT FOUND THEN outcome := 'closed'; RETURN NEXT; RETURN; END IF;
    outcome := 'accepted';
    IF p_mode[1] IN ('interrupt', 'delete') THEN
      lane_pos := coalesce((SELECT min(x.lane_pos) FROM tb.agent_run_queue x WHERE x.tenant_id = t AND x.session_id = s), lane_seq) - 1;
    END IF;
    IF starts THEN
      SELECT g.revision INTO agent_revision FROM tb.agents g WHERE g.tenant_id = t AND g.agent_id = p_agent[1];
    ELSE
      fence := NULL;
    END IF;
    INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos,
           priority, order_us, run_at, deadline_at, attempt, fence, cap_sha256, node_id, worker, agent_revision, input_seq,
           parent_run_id, user_id, enqueued_at, started_at)
    VALUES (t, r, s, p_agent[1], p_slot[1], p_kind[1], p_mode[1],
           (CASE WHEN starts THEN 'running' WHEN p_run_at[1] > at THEN 'scheduled' ELSE 'queued' END)::tb.run_state,
           lane_seq, lane_pos, p_priority[1], p_order_us[1], coalesce(p_run_at[1], at), p_deadline[1], starts::integer,
           coalesce(fence, 0), CASE WHEN starts THEN p_cap_sha256[1] END, CASE WHEN starts THEN p_node END,
           CASE WHEN starts THEN p_worker[1] END, agent_revision, CASE WHEN takes > 0 THEN head_seq END, p_parent[1], p_user[1],
           at, CASE WHEN starts THEN at END);
    IF takes > 0 THEN
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
      VALUES (t, s, head_seq, r, 'user', p_body[1]);
    ELSE
      INSERT INTO tb.run_inputs (tenant_id, run_id, body) VALUES (t, r, p_body[1]);
    END IF;
    IF starts THEN
      INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body) VALUES (t, r, 1, 'lifecycle', '{"phase":"start"}');
    END IF;
    IF p_mode[1] = 'interrupt' AND NOT starts THEN
      UPDATE tb.agent_run_queue x SET cancel_requested = true, cancel_code = 'interrupted'
       WHERE x.tenant_id = t AND x.session_id = s AND x.state IN ('running', 'retry_wait') AND x.run_id <> r AND NOT x.cancel_requested;
    END IF;
    IF p_victim[1] IS NOT NULL THEN victim := tb.displace(t, s, p_victim[1], p_fold[1]); END IF;
    RETURN NEXT;
    RETURN;
  END IF;
  IF array_remove(p_key, NULL) <> '{}' THEN          -- expired keys: hourly DELETE
    INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at)
    SELECT t, 'enqueue', k, h, r, now() + interval '24 hours'
      FROM unnest(p_tenant, p_session, p_key, p_hash, p_run) WITH ORDINALITY u(t, s, k, h, r, n)
     WHERE k IS NOT NULL AND EXISTS (SELECT FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s AND NOT l.closed)
     ORDER BY t, k, n
    ON CONFLICT DO NOTHING;
  END IF;
  IF array_remove(p_victim, NULL) <> '{}' OR p_mode && '{interrupt,delete}' THEN
    PERFORM tb.lock_lanes(p_tenant, p_session);
    FOR k IN 1 .. cardinality(p_run) LOOP
      RETURN QUERY SELECT k, x.run_id, x.outcome, x.lane_seq, x.lane_pos, x.fence, x.head_seq, x.commit_no, x.agent_revision, x.at, x.victim
        FROM tb.enqueue(p_node, p_resend, p_tenant[k:k], p_run[k:k], p_session[k:k], p_agent[k:k], p_slot[k:k], p_kind[k:k], p_mode[k:k],
               p_priority[k:k], p_order_us[k:k], p_run_at[k:k], p_deadline[k:k], p_body[k:k], p_parent[k:k], p_user[k:k], p_key[k:k],
               p_hash[k:k], p_worker[k:k], p_cap_sha256[k:k], p_victim[k:k], p_fold[k:k]) x;
    END LOOP;
    RETURN;
  END IF;
  -- Sub-selects, not EXISTS: that may be planned as a hash of the whole table, and a generic plan made while it was small stays.
  RETURN QUERY
  WITH item AS MATERIALIZED (
    SELECT u.*, i.run_id AS first_run, i.request_hash AS first_hash,
           p_resend AND ((SELECT true FROM tb.agent_run_queue x WHERE x.tenant_id = u.t AND x.run_id = u.r) IS NOT NULL
                      OR (SELECT true FROM tb.agent_runs x WHERE x.tenant_id = u.t AND x.run_id = u.r) IS NOT NULL) AS landed
      FROM unnest(p_tenant, p_run, p_session, p_agent, p_slot, p_kind, p_mode, p_priority, p_order_us, p_run_at, p_deadline,
                  p_body, p_parent, p_user, p_key, p_hash, p_worker, p_cap_sha256)
           WITH ORDINALITY u(t, r, s, a, slot, kind, mode, prio, ous, due, dl, body, parent, usr, k, h, w, cap, n)
      LEFT JOIN tb.idempotency_keys i ON u.k IS NOT NULL AND i.tenant_id = u.t AND i.scope = 'enqueue' AND i.key = u.k),
  counted AS (
    SELECT *, row_number() OVER (PARTITION BY t, s ORDER BY n) AS nth FROM item
     WHERE NOT landed AND (first_run IS NULL OR first_run = r)),
  fresh AS MATERIALIZED (
    SELECT *, w IS NOT NULL AND nth = 1 AND (SELECT true FROM tb.agent_run_queue x
                WHERE x.tenant_id = t AND x.session_id = s LIMIT 1) IS NULL
              AND (SELECT l.blocked FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s) IS NOT TRUE AS starts FROM counted),
  lane AS (                                          -- per-lane counts: one lane may occur many times in a batch
    UPDATE tb.lanes l SET enq_seq = l.enq_seq + f.cnt, fence = l.fence + f.starts, commit_no = l.commit_no + f.starts,
           head_seq = l.head_seq + f.msgs
      FROM (SELECT t, s, count(*) AS cnt, count(*) FILTER (WHERE starts) AS starts,
                   count(*) FILTER (WHERE starts AND kind = 'turn') AS msgs FROM fresh GROUP BY t, s ORDER BY t, s) f
     WHERE l.tenant_id = f.t AND l.session_id = f.s AND NOT l.closed
    RETURNING l.tenant_id, l.session_id, l.enq_seq - f.cnt AS base, l.fence, l.head_seq, l.commit_no),
  placed AS MATERIALIZED (
    SELECT f.*, lane.fence, lane.head_seq, lane.commit_no, lane.base + f.nth AS lane_seq,
           CASE WHEN f.starts THEN (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = f.t AND g.agent_id = f.a) END AS rev
      FROM fresh f JOIN lane ON lane.tenant_id = f.t AND lane.session_id = f.s),
  q AS (
    INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos,
           priority, order_us, run_at, deadline_at, attempt, fence, cap_sha256, node_id, worker, agent_revision, input_seq,
           parent_run_id, user_id, enqueued_at, started_at)
    SELECT t, r, s, a, slot, kind, mode,
           (CASE WHEN starts THEN 'running' WHEN due > now() THEN 'scheduled' ELSE 'queued' END)::tb.run_state,
           lane_seq, lane_seq, prio, ous, coalesce(due, now()), dl, starts::int, CASE WHEN starts THEN fence ELSE 0 END,
           CASE WHEN starts THEN cap END, CASE WHEN starts THEN p_node END, CASE WHEN starts THEN w END, rev,
           CASE WHEN starts AND kind = 'turn' THEN head_seq END, parent, usr, now(), CASE WHEN starts THEN now() END
      FROM placed),
  b AS (INSERT INTO tb.run_inputs (tenant_id, run_id, body)
        SELECT t, r, body FROM placed WHERE NOT starts OR kind = 'job'),
  m AS (INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
        SELECT t, s, head_seq, r, 'user', body FROM placed WHERE starts AND kind = 'turn'),
  e AS (INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
        SELECT t, r, 1, 'lifecycle', '{"phase":"start"}' FROM placed WHERE starts)
  SELECT i.n::integer, CASE WHEN i.first_run <> i.r AND NOT i.landed THEN i.first_run ELSE i.r END,
         CASE WHEN i.landed THEN 'landed' WHEN i.first_run <> i.r AND i.first_hash = i.h THEN 'same'
              WHEN i.first_run <> i.r THEN 'mismatch' WHEN p.r IS NULL THEN 'closed' ELSE 'accepted' END,
         coalesce(p.lane_seq, was.lane_seq), coalesce(p.lane_seq, was.lane_pos), CASE WHEN p.starts THEN p.fence END,
         p.head_seq, p.commit_no, p.rev, now(), NULL::text
    FROM item i LEFT JOIN placed p ON p.n = i.n
    LEFT JOIN tb.agent_run_queue was ON i.landed AND was.tenant_id = i.t AND was.run_id = i.r ORDER BY i.n;
END $$;

-- T1. At most one run a lane, in any state but 'waiting'. A run that is not returned waits for an answer, is gone, or never started and its
-- lane is blocked by a failure that the caller has not heard of: what started goes on to its end. The lane is locked by a statement of its
-- own: what the next one reads of the queue must be newer than what a cancel did meanwhile. A folded run waited for
-- the others of its lane: it was due when it is claimed. outcome 'no_input': its message is missing; nothing was changed. 'later': one in
-- retry_wait that is not due, because its worker died before it told the supervisor: it is left as it is and says when it will be (due);
-- unless its cancel is asked for, which has nothing to wait for. Of several at once no long message comes along (body NULL): the workers read
-- it from the transcript, instead of all of them passing through the supervisor in one answer.
CREATE FUNCTION tb.claim(p_node uuid, p_tenant bigint[], p_run uuid[], p_session uuid[], p_worker smallint[],
  p_cap_sha256 bytea[], p_crashed boolean[])
RETURNS TABLE (n integer, run_id uuid, fence bigint, head_seq bigint, commit_no bigint, attempt smallint, crashes smallint,
  agent_revision integer, input_seq bigint, appended integer, resumed boolean, body jsonb, started_at timestamptz,
  enqueued_at timestamptz, agent_id uuid, ev_seq integer, cancel_requested boolean, active_ms integer, max_attempts smallint, mode text,
  outcome text, cancel_code text, due timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tb, pg_temp AS $$
#variable_conflict use_column
DECLARE t bigint; s uuid; q tb.agent_run_queue; moves boolean; v_blocked boolean;
BEGIN
  IF cardinality(p_run) = 1 THEN
    t := p_tenant[1]; s := p_session[1];
    SELECT l.fence + 1, l.head_seq, l.commit_no + 1, l.blocked INTO fence, head_seq, commit_no, v_blocked
      FROM tb.lanes l WHERE l.tenant_id = t AND l.session_id = s FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT * INTO q FROM tb.agent_run_queue x
     WHERE x.tenant_id = t AND x.run_id = p_run[1] AND x.session_id = s AND x.state <> 'waiting'
       AND (x.attempt > 0 OR NOT v_blocked);
    IF NOT FOUND THEN RETURN; END IF;
    n := 1; run_id := q.run_id;
    IF q.state = 'retry_wait' AND q.run_at > now() AND NOT q.cancel_requested THEN
      fence := NULL; head_seq := NULL; commit_no := NULL; outcome := 'later'; due := q.run_at;
      RETURN NEXT; RETURN;
    END IF;
    moves := q.kind = 'turn' AND q.input_seq IS NULL;
    IF moves THEN
      DELETE FROM tb.run_inputs x WHERE x.tenant_id = t AND x.run_id = q.run_id RETURNING x.body INTO body;
      IF NOT FOUND THEN
        fence := NULL; head_seq := NULL; commit_no := NULL; outcome := 'no_input';
        RETURN NEXT; RETURN;
      END IF;
    END IF;
    outcome := 'claimed';
    started_at := coalesce(q.started_at, now()); enqueued_at := q.enqueued_at; agent_id := q.agent_id;
    cancel_requested := q.cancel_requested; cancel_code := q.cancel_code; active_ms := q.active_ms; max_attempts := q.max_attempts; mode := q.mode;
    appended := moves::integer; resumed := q.started_at IS NOT NULL;
    head_seq := head_seq + appended; input_seq := CASE WHEN moves THEN head_seq ELSE q.input_seq END;
    attempt := q.attempt + (q.attempt = 0 OR q.state = 'retry_wait')::integer;
    crashes := q.crashes + p_crashed[1]::integer;
    agent_revision := coalesce(q.agent_revision, (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = t AND g.agent_id = q.agent_id));
    UPDATE tb.lanes l SET fence = claim.fence, commit_no = claim.commit_no, head_seq = claim.head_seq
     WHERE l.tenant_id = t AND l.session_id = s;
    UPDATE tb.agent_run_queue x SET state = 'running', fence = claim.fence, cap_sha256 = p_cap_sha256[1], node_id = p_node,
           worker = p_worker[1], attempt = claim.attempt, crashes = claim.crashes, started_at = claim.started_at,
           input_seq = claim.input_seq, agent_revision = claim.agent_revision, folded = false,
           run_at = CASE WHEN q.folded THEN greatest(q.run_at, now()) ELSE q.run_at END
     WHERE x.tenant_id = t AND x.run_id = q.run_id;
    IF moves THEN
      INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
      VALUES (t, s, head_seq, q.run_id, 'user', body);
    END IF;
    IF resumed THEN
      ev_seq := (SELECT max(x.ev_seq) FROM tb.run_events x WHERE x.tenant_id = t AND x.run_id = q.run_id);
    ELSE
      INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body) VALUES (t, q.run_id, 1, 'lifecycle', '{"phase":"start"}');
      ev_seq := 1;
    END IF;
    RETURN NEXT;
    RETURN;
  END IF;
  PERFORM tb.lock_lanes(p_tenant, p_session);
  RETURN QUERY
  WITH c AS MATERIALIZED (
    SELECT u.*, q.kind = 'turn' AND q.input_seq IS NULL AS moves, q.started_at IS NULL AS first,
           q.kind = 'turn' AND q.input_seq IS NULL
             AND (SELECT true FROM tb.run_inputs x WHERE x.tenant_id = u.t AND x.run_id = u.r) IS NULL AS empty,
           CASE WHEN q.state = 'retry_wait' AND q.run_at > now() AND NOT q.cancel_requested THEN q.run_at END AS due
      FROM unnest(p_tenant, p_run, p_session, p_worker, p_cap_sha256, p_crashed)
           WITH ORDINALITY u(t, r, s, w, cap, crashed, n)
      JOIN tb.agent_run_queue q ON q.tenant_id = u.t AND q.run_id = u.r AND q.session_id = u.s
       AND q.state <> 'waiting'
     WHERE (SELECT q.attempt > 0 OR NOT l.blocked FROM tb.lanes l WHERE l.tenant_id = u.t AND l.session_id = u.s)),
  lane AS (
    UPDATE tb.lanes l SET fence = l.fence + 1, commit_no = l.commit_no + 1, head_seq = l.head_seq + c.moves::int
      FROM c WHERE l.tenant_id = c.t AND l.session_id = c.s AND NOT c.empty AND c.due IS NULL
    RETURNING c.n, l.fence, l.head_seq, l.commit_no),
  q AS (
    UPDATE tb.agent_run_queue q SET state = 'running', fence = lane.fence, cap_sha256 = c.cap, node_id = p_node, worker = c.w,
           folded = false, run_at = CASE WHEN q.folded THEN greatest(q.run_at, now()) ELSE q.run_at END,
           attempt = q.attempt + (q.attempt = 0 OR q.state = 'retry_wait')::int, crashes = q.crashes + c.crashed::int,
           started_at = coalesce(q.started_at, now()), input_seq = CASE WHEN c.moves THEN lane.head_seq ELSE q.input_seq END,
           agent_revision = coalesce(q.agent_revision,
             (SELECT g.revision FROM tb.agents g WHERE g.tenant_id = q.tenant_id AND g.agent_id = q.agent_id))
      FROM c JOIN lane ON lane.n = c.n
     WHERE q.tenant_id = c.t AND q.run_id = c.r
    RETURNING c.n, c.moves, c.first, q.run_id, lane.fence, lane.head_seq, lane.commit_no, q.attempt, q.crashes,
              q.agent_revision, q.input_seq, q.started_at, q.enqueued_at, q.agent_id,
              q.cancel_requested, q.active_ms, q.max_attempts, q.mode, q.cancel_code),
  i AS (DELETE FROM tb.run_inputs x USING c JOIN lane ON lane.n = c.n
         WHERE c.moves AND x.tenant_id = c.t AND x.run_id = c.r
        RETURNING c.n, x.tenant_id, c.s, lane.head_seq, x.run_id, x.body),
  m AS (INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content)
        SELECT i.tenant_id, i.s, i.head_seq, i.run_id, 'user', i.body FROM i),
  e AS (INSERT INTO tb.run_events (tenant_id, run_id, ev_seq, type, body)
        SELECT c.t, c.r, 1, 'lifecycle', '{"phase":"start"}' FROM c JOIN lane ON lane.n = c.n WHERE c.first)
  SELECT c.n::integer, c.r, q.fence, q.head_seq, q.commit_no, q.attempt, q.crashes, q.agent_revision, q.input_seq,
         q.moves::int, NOT q.first, CASE WHEN octet_length(i.body::text) <= 65536 THEN i.body END, q.started_at, q.enqueued_at, q.agent_id,
         CASE WHEN q.first THEN 1 WHEN q.n IS NOT NULL THEN (SELECT max(x.ev_seq) FROM tb.run_events x
                WHERE x.tenant_id = c.t AND x.run_id = c.r) END,
         q.cancel_requested, q.active_ms, q.max_attempts, q.mode,
         CASE WHEN c.due IS NOT NULL THEN 'later' WHEN c.empty THEN 'no_input' ELSE 'claimed' END, q.cancel_code, c.due
    FROM c LEFT JOIN q ON q.n = c.n LEFT JOIN i ON i.n = c.n WHERE q.n IS NOT NULL OR c.empty OR c.due IS NOT NULL ORDER BY c.n;
END $$;

-- From which message on a worker reads a lane: the newest ones that are p_bytes together, and in any case all from p_own on, which are its
-- run's. A loop, which stops: whatever the plan, it opens no long message more than it must.
CREATE FUNCTION tb.history_start(p_tenant bigint, p_session uuid, p_own bigint, p_bytes bigint) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, tb, pg_temp AS $$
DECLARE m record; v_start bigint; v_bytes bigint := 0;
BEGIN
  FOR m IN SELECT x.seq, x.content FROM tb.session_messages x WHERE x.tenant_id = p_tenant AND x.session_id = p_session
            ORDER BY x.seq DESC LIMIT 500 LOOP
    v_bytes := v_bytes + octet_length(m.content::text);
    EXIT WHEN v_bytes > p_bytes AND m.seq < p_own AND v_start IS NOT NULL;
    v_start := m.seq;
  END LOOP;
  RETURN v_start;
END $$;

REVOKE ALL ON FUNCTION archive_waiting, failure_policy, lane_failed, displace, displaced, enqueue, claim, history_start FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enqueue, claim TO tb_supervisor;
GRANT EXECUTE ON FUNCTION history_start TO tb_worker;
