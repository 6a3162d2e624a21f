# SPDX-License-Identifier: Apache-2.0
"""An invariant that cannot fail is a defect: each has planted violations, each of which makes it fire and no other."""
import unittest

import invariants
from test_journal_sql import WithDatabase, ended, event, said, text_body, tool, uuid7

# What is done to a healthy database in a transaction that is rolled back. {done}, {second}: completed runs of one lane, {done} with a tool
# call; {steer}: superseded by done; {dropped}: never started; {dead}; {child}: running in {lane}, {waits} behind it, spawned by done; {old}: a run id of nothing;
# {blocked}: a lane whose only run failed and blocks it.
OLD = "01900000-0000-7000-8000-000000000000"
ASKS = "INSERT INTO tb.approvals (tenant_id, approval_id, run_id, session_id, step, call_no, tool, input) VALUES (1, '{old}', '{%s}', '{lane}', 1, 0, 'x', '{}')"
CLIENT = ("UPDATE tb.session_messages SET content = jsonb_set(content, '{blocks,0,clientSide}', 'true') WHERE run_id = '{done}'"
          " AND content @> '{\"blocks\":[{\"type\":\"tool_call\"}]}'; %s")
PLANTED = {
    "waiting_asks": ["UPDATE tb.agent_run_queue SET state = 'waiting' WHERE run_id = '{child}'", ASKS % "child", ASKS % "done"],
    "one_runner": ["UPDATE tb.agent_run_queue SET state = 'running' WHERE run_id = '{waits}'",
                   "UPDATE tb.agent_run_queue SET state = 'retry_wait' WHERE run_id = '{waits}'",
                   "UPDATE tb.agent_run_queue SET state = 'waiting' WHERE run_id = '{waits}'; " + ASKS % "waits"],
    "live_or_ended": ["""
        UPDATE tb.lanes SET enq_seq = enq_seq + 2 WHERE session_id = '{lane}';
        INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos, order_us, run_at,
          enqueued_at) SELECT tenant_id, '{old}', session_id, agent_id, slot, kind, mode, state, lane_seq + 1, lane_pos + 1, 1, run_at, now()
          FROM tb.agent_run_queue WHERE run_id = '{waits}';
        INSERT INTO tb.run_inputs VALUES (1, '{old}', '{}');
        INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, result, input, enqueued_at,
          finished_at) SELECT tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq + 1, lane_pos + 1, 'dropped', '{}', now(), now()
          FROM tb.agent_run_queue WHERE run_id = '{old}'"""],
    "accepted_once": ["UPDATE tb.lanes SET enq_seq = enq_seq + 1 WHERE session_id = '{lane}'",
                      "UPDATE tb.lanes SET enq_seq = enq_seq - 1 WHERE session_id = '{lane}'",
                      "DELETE FROM tb.agent_runs WHERE run_id = '{steer}'; UPDATE tb.session_messages SET run_id = NULL WHERE run_id = '{steer}'",
                      "UPDATE tb.agent_runs SET lane_seq = lane_seq + 1 WHERE run_id = '{dropped}'"],
    "messages_numbered": ["UPDATE tb.lanes SET head_seq = head_seq + 1 WHERE session_id = '{lane}'",
                          "UPDATE tb.session_messages SET seq = 0 WHERE run_id = '{second}' AND role = 'summary'",
                          "DELETE FROM tb.session_messages WHERE run_id = '{second}' AND role = 'summary'"],
    "calls_answered": ["UPDATE tb.session_messages SET content = '{}' WHERE run_id = '{done}' AND role = 'tool'",
                       "UPDATE tb.session_messages SET content = jsonb_set(content, '{blocks,1}', content->'blocks'->0)"
                       " WHERE run_id = '{done}' AND role = 'tool'",
                       # a client's call that is open before another answer, or has two results
                       CLIENT % "DELETE FROM tb.tool_executions WHERE run_id = '{done}';"
                       " UPDATE tb.session_messages SET content = '{}' WHERE run_id = '{done}' AND role = 'tool'",
                       CLIENT % "DELETE FROM tb.tool_executions WHERE run_id = '{done}';"
                       " UPDATE tb.session_messages SET content = jsonb_set(content, '{blocks,1}', content->'blocks'->0)"
                       " WHERE run_id = '{done}' AND role = 'tool'"],
    "calls_recorded": [CLIENT % "", "DELETE FROM tb.tool_executions WHERE run_id = '{done}'", "UPDATE tb.tool_executions SET step = 7 WHERE run_id = '{done}'"],
    "tools_ended": ["UPDATE tb.tool_executions SET state = 'running' WHERE run_id = '{done}'",
                    "UPDATE tb.tool_executions SET state = 'pending' WHERE run_id = '{done}'"],
    "lane_order": ["UPDATE tb.agent_runs SET started_at = started_at - interval '1 hour' WHERE run_id = '{second}'",
                   "UPDATE tb.agent_run_queue SET lane_pos = lane_pos - 10, enqueued_at = enqueued_at - interval '1 hour',"
                   " run_at = run_at - interval '1 hour' WHERE run_id = '{waits}'"],
    "blocked_is_paused": ["UPDATE tb.lanes SET blocked = false WHERE session_id = '{blocked}'",
                          "UPDATE tb.lanes SET blocked = true WHERE session_id = '{lane}'",
                          "DELETE FROM tb.queue_pauses WHERE object = '{blocked}'"],
    "blocked_starts_nothing": ["UPDATE tb.agent_runs SET started_at = now() + interval '1 s' WHERE session_id = '{blocked}'",
                               "UPDATE tb.queue_pauses SET failed_at = now() - interval '1 hour' WHERE object = '{blocked}'"],
    "deadlines_kept": ["UPDATE tb.agent_run_queue SET deadline_at = now() - interval '2 min' WHERE run_id = '{waits}'"],
    "input_kept": ["DELETE FROM tb.run_inputs WHERE run_id = '{waits}'"],
    "input_owned": ["INSERT INTO tb.run_inputs VALUES (1, '{old}', '{}')", "INSERT INTO tb.run_inputs VALUES (1, '{child}', '{}')"],
    "spawns_settled": ["UPDATE tb.subagent_spawns SET state = 'completed', finished_at = now()",
                       "UPDATE tb.subagent_spawns SET child_run_id = '{old}'",
                       "UPDATE tb.subagent_spawns SET child_run_id = '{second}', state = 'completed'"],
    "merged_ends": ["UPDATE tb.agent_runs SET merged_into = '{old}' WHERE run_id = '{steer}'",
                    "UPDATE tb.agent_runs SET merged_into = '{steer}' WHERE run_id = '{steer}'"],
    "events_numbered": ["UPDATE tb.run_events SET ev_seq = 2 WHERE run_id = '{child}'",
                        "UPDATE tb.run_events SET ev_seq = 5 WHERE run_id = '{dropped}' AND ev_seq = 2"],
    "stream_ends_once": ["DELETE FROM tb.run_events WHERE run_id = '{dropped}' AND ev_seq = 2",
                         "INSERT INTO tb.run_events SELECT tenant_id, run_id, 3, at, type, body FROM tb.run_events"
                         " WHERE run_id = '{dropped}' AND ev_seq = 2"],
    "live_stream_open": ["INSERT INTO tb.run_events VALUES (1, '{child}', 2, now(), 'lifecycle', '{\"phase\":\"end\"}')"],
    "answer_stands": ["UPDATE tb.agent_runs SET output_seq = (SELECT max(seq) FROM tb.session_messages WHERE run_id = '{done}' AND role = 'tool')"
                      " WHERE run_id = '{done}'", "UPDATE tb.agent_runs SET output_seq = input_seq WHERE run_id = '{done}'",
                      "UPDATE tb.agent_runs SET output_seq = NULL WHERE run_id = '{done}'"],
    "input_stands": ["UPDATE tb.agent_runs SET input_seq = output_seq WHERE run_id = '{done}'",
                     "UPDATE tb.agent_run_queue SET input_seq = 99 WHERE run_id = '{child}'"],
    "message_once": ["UPDATE tb.lanes SET head_seq = head_seq + 1 WHERE session_id = '{lane}';"
                     "INSERT INTO tb.session_messages SELECT tenant_id, session_id, head_seq, now(), '{child}', 0, 'user', '{}'"
                     " FROM tb.lanes WHERE session_id = '{lane}'"],
    "taken_or_kept": ["UPDATE tb.agent_runs SET input = NULL WHERE run_id = '{dropped}'",
                      "UPDATE tb.agent_runs SET input_seq = NULL, input = '{}' WHERE run_id = '{steer}'"],
    "dead_listed": ["DELETE FROM tb.dead_runs WHERE run_id = '{dead}'"],
}


class Planted(WithDatabase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls("test_every_invariant_has_a_planted_violation").healthy()

    def healthy(self):
        lane, other, third = self.session(), self.session(), self.session()
        done = self.running(other, "first")
        steer = self.queued(other, "steer", mode="steer")
        call = {"blocks": [{"type": "tool_call", "callId": "c1", "name": "t", "arguments": "{}"}]}
        result = {"blocks": [{"type": "tool_result", "callId": "c1", "name": "t", "text": "x"}]}
        self.journal({**done, "take": 1, "messages": [
            {"step": 1, "role": "assistant", "content": call, "tokens": 1}, {"step": 1, "role": "tool", "content": result, "tokens": 1}],
            "tools": [tool(tool="t", effect="pure")]})
        done["commit"] += 1
        second = self.queued(other, "second")
        self.end(done)
        (row,) = self.claim({"run": second, "session": other})
        self.end({"run": second, "session": other, "fence": row["fence"], "commit": row["commit_no"]})
        self.root.ask("UPDATE tb.lanes SET head_seq = head_seq + 1 WHERE session_id = '%s'; INSERT INTO tb.session_messages SELECT tenant_id,"
                      " session_id, head_seq, now(), '%s', 0, 'summary', '{}' FROM tb.lanes WHERE session_id = '%s';" % (other, second, other))
        dropped = self.queued(other, "dropped")
        self.cancel(self.queued(other, victim=dropped, fold=False))
        dead = self.running(third)
        self.journal({**dead, "events": [event(2, phase="error")], "end": [ended("dead", "llm_error", "no")]})
        self.agent_policy("block")
        blocked = self.session()
        self.end(self.running(blocked), result="failed", code="llm_error", error="no")
        self.queued(blocked)
        self.agent_policy(None)
        child = self.running(lane)
        waits = self.queued(lane, "waits")
        self.root.ask("INSERT INTO tb.subagent_spawns (tenant_id, parent_run_id, step, call_no, parent_session_id, child_session_id, child_run_id,"
                      f" depth) VALUES (1, '{done['run']}', 1, 0, '{other}', '{lane}', '{child['run']}', 1);")
        Planted.names = {"lane": lane, "blocked": blocked, "done": done["run"], "second": second, "steer": steer, "dropped": dropped, "dead": dead["run"],
                         "child": child["run"], "waits": waits, "old": OLD}

    def named(self, plant):
        for name, id in self.names.items():
            plant = plant.replace("{" + name + "}", id)
        return plant

    def test_every_invariant_has_a_planted_violation(self):
        self.assertEqual(set(PLANTED), set(invariants.QUERIES))

    def test_each_fires_alone(self):
        self.assertEqual(invariants.violations(self.root), {})
        for name, plants in PLANTED.items():
            for plant in plants:
                with self.subTest(name, plant=plant):
                    self.root.ask("BEGIN;")
                    try:
                        self.root.ask(self.named(plant) + ";")
                        fired = [n for n, query in invariants.QUERIES.items() if self.root.rows(query)]
                    finally:
                        self.root.ask("ROLLBACK;")
                    self.assertEqual(fired, [name])

    def test_a_deleted_session_is_no_violation(self):
        """While its lane is closed, the transcript goes in batches and the archive stays."""
        self.root.ask("BEGIN;")
        self.root.ask("UPDATE tb.lanes l SET closed = true FROM tb.agent_runs r WHERE r.session_id = l.session_id;"
                      "DELETE FROM tb.session_messages m USING tb.lanes l WHERE l.session_id = m.session_id AND l.closed AND m.seq < 5;")
        try:
            self.assertEqual(invariants.violations(self.root), {})
        finally:
            self.root.ask("ROLLBACK;")

    def test_rows_have_the_columns_that_are_promised(self):
        for name, query in invariants.QUERIES.items():
            self.root.ask(f"CREATE TEMP VIEW shape AS {query};")
            rows = self.root.rows("SELECT attname, format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = 'shape'::regclass"
                                  " ORDER BY attnum")
            self.root.ask("DROP VIEW shape;")
            self.assertEqual([(r["attname"], r["type"]) for r in rows],
                             [("tenant_id", "bigint"), ("session_id", "uuid"), ("run_id", "uuid")], name)


class Table(unittest.TestCase):
    """The reader of C string literals."""

    def test_what_c_allows(self):
        found = invariants.read('/* a "comment" (, */ INVARIANT(a, "it\\"s" " so", "SELECT \\\\ 1" // more\n  " \\n x")\nINVARIANT ( b,"c","d" )')
        self.assertEqual(found, {"a": ('it"s so', "SELECT \\ 1 \n x"), "b": ("c", "d")})

    def test_what_it_refuses(self):
        for text in ("", 'INVARIANT(a, "b")', 'INVARIANT(a, "b", c)', 'INVARIANT(a, "b", "c"', 'OTHER(a, "b", "c")', 'INVARIANT(a, "b", "c)',
                     'INVARIANT(a, "b", "c") INVARIANT(a, "b", "c")', 'INVARIANT(a, "b", "\\x41")', 'INVARIANT(a, "b", "c");'):
            with self.assertRaises(ValueError, msg=text):
                invariants.read(text)
