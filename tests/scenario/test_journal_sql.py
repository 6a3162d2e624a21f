# SPDX-License-Identifier: Apache-2.0
"""The functions of the journal and the queue, asked directly as the roles that own them: outcomes, batches, races, rights."""
import glob
import hashlib
import json
import os
import random
import re
import subprocess
import threading
import time
import unittest
import uuid

from invariants import violations
from node import ROOT, Node, wait_for

AGENT = "0192f3a0-0000-7000-8000-0000000000a1"
GONE_AGENT = "0192f3a0-0000-7000-8000-0000000000a2"
NODE = "0192f3a0-0000-7000-8000-0000000000f1"
CAP = "the-capability"
DONE = "--done--"


def uuid7():
    n = (time.time_ns() // 1000000 << 80) | random.getrandbits(80)
    return str(uuid.UUID(int=n & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62))


def literal(v):
    if v is None:
        return "NULL"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if isinstance(v, bytes):
        return f"'\\x{v.hex()}'"
    text = v if isinstance(v, str) else json.dumps(v)
    return "'" + text.replace("'", "''") + "'"


def array(values, kind):
    return f"ARRAY[{', '.join(map(literal, values))}]::{kind}[]"


def text_body(*texts):
    return {"blocks": [{"type": "text", "text": t} for t in texts]}


together = True  # the classes share a cluster: one process


class Refused(Exception):
    """An SQLSTATE."""


# As common/pg/dial.c: in which order rows are locked depends on the plan.
PLANS = "-c plan_cache_mode=force_generic_plan -c jit=off -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"


class Session:
    """One connection: psql behind two pipes."""

    def __init__(self, cluster, conninfo):
        self.p = subprocess.Popen([os.path.join(cluster.bin, "psql"), "-XAtq", "-d", conninfo], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PGOPTIONS": PLANS})
        self.ask("\\set VERBOSITY sqlstate")

    def send(self, sql):
        self.p.stdin.write(f"{sql}\n\\echo {DONE}\n")
        self.p.stdin.flush()

    def result(self):
        lines = []
        for line in self.p.stdout:
            if line == DONE + "\n":
                break
            lines.append(line.rstrip("\n"))
        else:
            raise AssertionError(f"the session ended: {lines}")
        for line in lines:
            if line.startswith("ERROR:"):
                raise Refused(line.split()[1])
        return "\n".join(lines)

    def ask(self, sql):
        self.send(sql)
        return self.result()

    def send_rows(self, query):
        self.send(f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) q;")

    def rows(self, query):
        self.send_rows(query)
        return json.loads(self.result())

    def close(self):
        self.p.stdin.close()
        self.p.wait(20)
        self.p.stdout.close()


# ---- calls as text

ENQUEUE = (("tenant", "bigint"), ("run", "uuid"), ("session", "uuid"), ("agent", "uuid"), ("slot", "smallint"), ("kind", "text"),
           ("mode", "text"), ("priority", "smallint"), ("order_us", "bigint"), ("run_at", "timestamptz"), ("deadline", "timestamptz"),
           ("body", "jsonb"), ("parent", "uuid"), ("user", "text"), ("key", "text"), ("hash", "bytea"), ("worker", "smallint"),
           ("cap", "bytea"), ("victim", "uuid"), ("fold", "boolean"))


def arrays(items, columns):
    return ", ".join(array([i[name] for i in items], kind) for name, kind in columns)


def enqueue_sql(items, resend=False):
    return f"SELECT * FROM tb.enqueue('{NODE}', {literal(resend)}, {arrays(items, ENQUEUE)})"


def claim_sql(items):
    columns = (("tenant", "bigint"), ("run", "uuid"), ("session", "uuid"), ("worker", "smallint"), ("cap", "bytea"), ("crashed", "boolean"))
    full = [{"tenant": 1, "worker": 3, "cap": hashlib.sha256(CAP.encode()).digest(), "crashed": False, **i} for i in items]
    return f"SELECT * FROM tb.claim('{NODE}', {arrays(full, columns)})"


GROUPS = (
    ("messages", (("step", "smallint"), ("role", "text"), ("content", "jsonb"), ("tokens", "integer"))),
    ("tools", (("step", "smallint"), ("call", "smallint"), ("call_id", "text"), ("tool", "text"), ("effect", "text"), ("state", "text"),
               ("attempt", "smallint"), ("input", "jsonb"), ("output", "jsonb"), ("error", "text"), ("policy", "integer"),
               ("ms", "integer"), ("bytes", "bigint"), ("exit", "integer"), ("signal", "text"), ("class", "text"), ("cut", "boolean"))),
    ("events", (("seq", "integer"), ("type", "text"), ("at", "timestamptz"), ("body", "jsonb"))),
    ("usage", (("step", "smallint"), ("call", "smallint"), ("provider", "text"), ("model", "text"), ("in", "bigint"), ("out", "bigint"),
               ("cached", "bigint"), ("cache_write", "bigint"), ("reasoning", "bigint"), ("cost", "bigint"), ("ms", "integer"))),
    ("end", (("result", "text"), ("code", "text"), ("error", "text"), ("steps", "smallint"), ("calls", "smallint"), ("in", "bigint"),
             ("out", "bigint"))))
RETRY = (("pause_us", "bigint"), ("code", "text"), ("error", "text"), ("active_ms", "integer"))
ACTS = (("what", "text"), ("data", "jsonb"))
ASKS = (("id", "uuid"), ("step", "smallint"), ("call", "smallint"), ("tool", "text"), ("input", "jsonb"), ("rule", "text"), ("life_us", "bigint"),
        ("active_ms", "integer"))


def journal_sql(items):
    """An item: run, session, fence, commit, and lists by group; end and retry hold one at most."""
    head = (("tenant", "bigint"), ("run", "uuid"), ("session", "uuid"), ("fence", "bigint"), ("commit", "bigint"), ("cap", "text"))
    full = [{"tenant": 1, "cap": CAP, **i} for i in items]
    parts = [arrays(full, head)]

    def group(name, columns):
        of = [(n, row) for n, i in enumerate(full, 1) for row in i.get(name, ())]
        parts.append(array([n for n, _ in of], "integer"))
        parts.append(arrays([row for _, row in of], columns))
    for name, columns in GROUPS:
        group(name, columns)
    parts.append(array([i.get("take", 0) for i in full], "smallint"))
    parts.append(array([i.get("clear", False) for i in full], "boolean"))
    group("retry", RETRY)
    group("asks", ASKS)
    group("acts", ACTS)
    return f"SELECT * FROM tb.journal({', '.join(parts)})"


def said(text, step=1):
    return {"step": step, "role": "assistant", "content": text_body(text), "tokens": 2}


def tool(**kw):
    return {"step": 1, "call": 0, "call_id": "c1", "tool": "memory_store", "effect": "keyed", "state": "completed", "attempt": 1, "input": {},
            "output": {}, "error": None, "policy": 0, "ms": None, "bytes": None, "exit": None, "signal": None, "class": None, "cut": False, **kw}


def event(seq, type="lifecycle", **body):
    return {"seq": seq, "type": type, "at": "2026-01-01T00:00:00Z", "body": body}


def ended(result="completed", code=None, error=None):
    return {"result": result, "code": code, "error": error, "steps": 1, "calls": 0, "in": 3, "out": 2}


def retry(pause_us=3600000000, code="llm_error", error="the model is away", active_ms=250):
    return {"pause_us": pause_us, "code": code, "error": error, "active_ms": active_ms}


def ask(call=0, life_us=3600000000, **kw):
    return {"id": uuid7(), "step": 1, "call": call, "tool": "memory_store", "input": {}, "rule": "ask names it", "life_us": life_us, "active_ms": 30, **kw}


class WithDatabase(unittest.TestCase):
    """A private cluster with the migrations, no node, one for all tests of a module. sup, worker, edge: sessions as these roles; root:
    past all rights."""
    node = None

    @classmethod
    def setUpClass(cls):
        if WithDatabase.node is None:
            WithDatabase.begin()

    @staticmethod
    def begin():
        node = WithDatabase.node = Node(migrated=True)
        unittest.addModuleCleanup(WithDatabase.finish)
        WithDatabase.cluster, WithDatabase.sessions = node.cluster, []
        node.sql(f"INSERT INTO tb.agents (tenant_id, agent_id, name) VALUES (1, '{AGENT}', 'sql');"
                 f"INSERT INTO tb.agents (tenant_id, agent_id, name, deleted_at) VALUES (1, '{GONE_AGENT}', 'gone', now());"
                 "INSERT INTO tb.tenants (tenant_id, slug) VALUES (2, 'second');"
                 f"INSERT INTO tb.agents (tenant_id, agent_id, name) VALUES (2, '{AGENT}', 'sql')")
        WithDatabase.sup, WithDatabase.worker, WithDatabase.edge = (
            WithDatabase.connect(r) for r in ("tb_supervisor", "tb_worker", "tb_edge"))
        WithDatabase.root = WithDatabase.connect(None)

    @staticmethod
    def finish():
        for s in WithDatabase.sessions:
            s.close()
        WithDatabase.node.close()
        WithDatabase.node = None

    @staticmethod
    def connect(role):
        node = WithDatabase.node
        conninfo = f"host={node.cluster.socket} dbname=terabits user=postgres"
        if role:
            with open(os.path.join(node.state, "secrets", role)) as f:
                conninfo = f.read().strip()
        s = Session(node.cluster, conninfo)
        WithDatabase.sessions.append(s)
        return s

    def tearDown(self):
        self.assertEqual(violations(self.root), {})

    # ---- making things

    def session(self, tenant=1):
        s = uuid7()
        (row,) = self.edge.rows("SELECT * FROM tb.open_sessions(" + arrays(
            [{"t": tenant, "a": AGENT, "k": s, "s": s, "slot": 7, "u": None}],
            (("t", "bigint"), ("a", "uuid"), ("k", "text"), ("s", "uuid"), ("slot", "smallint"), ("u", "text"))) + ")")
        self.assertEqual(row["session_id"], s)
        return s

    @staticmethod
    def item(session, text="hello", **kw):
        item = {"tenant": 1, "run": uuid7(), "session": session, "agent": AGENT, "slot": 7, "kind": "turn", "mode": "followup",
                "priority": 0, "order_us": 1, "run_at": None, "deadline": None, "body": text_body(text), "parent": None, "user": None,
                "key": None, "hash": None, "worker": None, "cap": None, "victim": None, "fold": None, **kw}
        if item["worker"] is not None:
            item["cap"] = hashlib.sha256(CAP.encode()).digest()
        return item

    def enqueue(self, *items, resend=False):
        rows = self.sup.rows(enqueue_sql(items, resend))
        self.assertEqual([r["n"] for r in rows], list(range(1, len(items) + 1)))
        return rows

    def queued(self, session, text="hello", **kw):
        """The run of an accepted message."""
        item = self.item(session, text, **kw)
        (row,) = self.enqueue(item)
        self.assertEqual(row["outcome"], "accepted")
        return item["run"]

    def claim(self, *items):
        return self.sup.rows(claim_sql(items))

    def running(self, session, text="hello"):
        """An item for journal() of a run that was claimed."""
        run = self.queued(session, text)
        (row,) = self.claim({"run": run, "session": session})
        return {"run": run, "session": session, "fence": row["fence"], "commit": row["commit_no"]}

    def journal(self, *items):
        rows = self.worker.rows(journal_sql(items))
        self.assertEqual([r["n"] for r in rows], list(range(1, len(items) + 1)))
        for item, row in zip(items, rows):
            if row["outcome"] == "ok":
                item["commit"] = row["commit_no"]
        return rows

    def end(self, item, events=2, **kw):
        (row,) = self.journal({**item, "messages": [said("done")], "events": [event(events, phase="end")], "end": [ended(**kw)]})
        self.assertEqual(row["outcome"], "ok")

    def agent_policy(self, policy):
        """onFailure of the agent's present revision; None: as if it had none."""
        self.root.ask(f"UPDATE tb.agents SET revision = revision + 1 WHERE tenant_id = 1 AND agent_id = '{AGENT}';"
                      "INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config) SELECT 1, agent_id, revision,"
                      f" {literal({'onFailure': policy} if policy else {})} FROM tb.agents WHERE tenant_id = 1 AND agent_id = '{AGENT}';")

    def cancel(self, *runs, code="cancelled", by="ann"):
        return self.sup.rows("SELECT * FROM tb.cancel(" + arrays([{"t": 1, "r": r, "c": code, "b": by} for r in runs],
                             (("t", "bigint"), ("r", "uuid"), ("c", "text"), ("b", "text"))) + ")")

    def expire(self, *runs):
        return self.sup.rows("SELECT * FROM tb.expire(" + arrays([{"t": 1, "r": r} for r in runs], (("t", "bigint"), ("r", "uuid"))) + ")")

    def bury(self, run, session, reason, error):
        (row,) = self.sup.rows(f"SELECT * FROM tb.bury('{{1}}', '{{{run}}}', '{{{session}}}', '{reason}', '{error}')")
        return row

    def redrive(self, run, new, by="ann"):
        (row,) = self.sup.rows(f"SELECT * FROM tb.redrive(1, '{run}', '{new}', 77, '{by}')")
        return row

    # ---- looking

    def one(self, query):
        rows = self.root.rows(query)
        self.assertLessEqual(len(rows), 1, query)
        return rows[0] if rows else None

    def live(self, run):
        return self.one(f"SELECT * FROM tb.agent_run_queue WHERE run_id = '{run}'")

    def archived(self, run):
        return self.one(f"SELECT * FROM tb.agent_runs WHERE run_id = '{run}'")

    def events(self, run):
        return self.root.rows(f"SELECT ev_seq, type, body FROM tb.run_events WHERE run_id = '{run}' ORDER BY ev_seq")

    def messages(self, session):
        return self.root.rows(f"SELECT seq, run_id, step, role, content FROM tb.session_messages WHERE session_id = '{session}' ORDER BY seq")

    def lane(self, session):
        return self.one(f"SELECT * FROM tb.lanes WHERE session_id = '{session}'")

    def dead(self, run):
        return self.one(f"SELECT * FROM tb.dead_runs WHERE run_id = '{run}'")

    def close_lane(self, session):
        self.root.ask(f"UPDATE tb.lanes SET closed = true WHERE session_id = '{session}';")

    def check_unstarted_end(self, run, result, code, sentence):
        a = self.archived(run)
        self.assertEqual((a["result"], a["error_code"], a["error"]), (result, code, sentence))
        self.assertIsNone(a["started_at"])
        self.assertIsNone(self.live(run))
        self.assertIsNone(self.one(f"SELECT * FROM tb.run_inputs WHERE run_id = '{run}'"))
        self.assertEqual(self.events(run), [
            {"ev_seq": 1, "type": "error", "body": {"error": sentence, "metadata": {"code": code}}},
            {"ev_seq": 2, "type": "lifecycle", "body": {"phase": "error", "metadata": {"result": result, "code": code}}}])

    def check_superseded(self, run, into, seq):
        a = self.archived(run)
        self.assertEqual((a["result"], a["merged_into"], a["input_seq"], a["input"]), ("superseded", into, seq, None))
        self.assertIsNone(self.live(run))
        self.assertIsNone(self.one(f"SELECT * FROM tb.run_inputs WHERE run_id = '{run}'"))
        self.assertEqual(self.events(run), [
            {"ev_seq": 1, "type": "lifecycle", "body": {"phase": "end", "metadata": {"result": "superseded", "mergedInto": into}}}])


FULL = "newer messages took its place in the session's full queue"


class Enqueue(WithDatabase):
    def test_a_victim_is_dropped(self):
        s = self.session()
        victim = self.queued(s, "old news")
        (row,) = self.enqueue(self.item(s, victim=victim, fold=False))
        self.assertEqual((row["outcome"], row["victim"]), ("accepted", "dropped"))
        self.check_unstarted_end(victim, "dropped", "lane_full", FULL)
        self.assertEqual(self.archived(victim)["input"], text_body("old news"))

    def test_a_victim_is_folded(self):
        s = self.session()
        victim = self.queued(s)
        (row,) = self.enqueue(self.item(s, victim=victim, fold=True))
        self.assertEqual(row["victim"], "folded")
        self.assertTrue(self.live(victim)["folded"])
        self.assertIsNone(self.archived(victim))

    def test_a_victim_that_no_longer_waits_is_kept(self):
        s, other = self.session(), self.session()
        started = self.running(s)["run"]
        job = self.queued(s, kind="job", mode="compact")
        elsewhere = self.queued(other)
        for victim in (started, job, elsewhere, uuid7()):
            (row,) = self.enqueue(self.item(s, victim=victim, fold=False))
            self.assertEqual((row["outcome"], row["victim"]), ("accepted", "kept"))
        self.assertIsNotNone(self.live(started))
        self.assertIsNotNone(self.live(job))
        self.assertIsNotNone(self.live(elsewhere))

    def test_an_item_that_was_not_accepted_has_no_victim(self):
        s, closed = self.session(), self.session()
        victim, in_closed = self.queued(s), self.queued(closed)
        first = self.queued(s, key=s, hash=b"1")
        self.close_lane(closed)
        items = [self.item(s, key=s, hash=b"1", victim=victim, fold=False), self.item(s, key=s, hash=b"2", victim=victim, fold=False),
                 self.item(closed, victim=in_closed, fold=False)]
        for rows in (self.enqueue(*items), [self.enqueue(i)[0] for i in items]):
            self.assertEqual([(r["outcome"], r["victim"]) for r in rows], [("same", None), ("mismatch", None), ("closed", None)])
            self.assertEqual([r["run_id"] for r in rows], [first, first, items[2]["run"]])
        self.assertIsNotNone(self.live(victim))
        self.assertIsNotNone(self.live(in_closed))

    def test_a_resend_tells_what_became_of_the_victim(self):
        s = self.session()
        for fold, word in ((False, "dropped"), (True, "folded")):
            item = self.item(s, victim=self.queued(s), fold=fold)
            (first,) = self.enqueue(item)
            (again,) = self.enqueue(item, resend=True)
            self.assertEqual((first["victim"], again["victim"], again["outcome"]), (word, word, "landed"))
            self.assertEqual((again["lane_seq"], again["lane_pos"]), (first["lane_seq"], first["lane_pos"]))
        item = self.item(s, victim=self.running(self.session())["run"], fold=False)
        self.enqueue(item)
        self.assertEqual(self.enqueue(item, resend=True)[0]["victim"], "kept")
        new = self.item(s)
        rows = self.enqueue(item, new, resend=True)
        self.assertEqual([(r["outcome"], r["victim"]) for r in rows], [("landed", "kept"), ("accepted", None)])

    def test_interrupt_cancels_the_active_run_and_goes_first(self):
        for state in ("running", "retry_wait"):
            s = self.session()
            active = self.running(s)
            if state == "retry_wait":
                self.journal({**active, "retry": [retry()]})
            waits = self.queued(s)
            (row,) = self.enqueue(self.item(s, mode="interrupt"))
            self.assertTrue(self.live(active["run"])["cancel_requested"])
            self.assertEqual(self.live(active["run"])["state"], state)
            self.assertFalse(self.live(waits)["cancel_requested"])
            self.assertLess(row["lane_pos"], self.live(active["run"])["lane_pos"])
            self.assertFalse(self.live(row["run_id"])["cancel_requested"])

    def test_an_interrupt_that_starts_at_once_is_not_its_own_victim(self):
        s = self.session()
        (row,) = self.enqueue(self.item(s, mode="interrupt", worker=3))
        self.assertEqual(row["fence"], 1)
        self.assertEqual((self.live(row["run_id"])["state"], self.live(row["run_id"])["cancel_requested"]), ("running", False))

    def test_no_fused_start_beside_live_rows(self):
        s = self.session()
        victim = self.queued(s)
        (row,) = self.enqueue(self.item(s, worker=3, victim=victim, fold=False))
        self.assertEqual((row["victim"], row["fence"], self.live(row["run_id"])["state"]), ("dropped", None, "queued"))


    def test_plans_of_an_empty_queue_read_no_full_one(self):
        """As of a node that stood idle when its tables were looked at, and then has thousands of messages."""
        s = self.connect(None)
        tables = ("agent_run_queue", "agent_run_queue_pkey", "agent_run_queue_lane", "run_inputs", "run_inputs_pkey", "idempotency_keys",
                  "idempotency_keys_pkey")
        read = lambda: {t: int(s.ask(f"SELECT pg_stat_get_xact_tuples_returned('tb.{t}'::regclass);")) for t in tables}

        def lives(sessions):
            """A turn of each, together; what each of the calls read of the tables that were filled."""
            items, spent = [self.item(i, key=str(uuid.uuid4()), hash=b"h") for i in sessions], {}

            def call(name, sql):
                before = read()
                rows = s.rows(sql)
                after = read()
                spent[name] = {t: after[t] - before[t] for t in tables if after[t] - before[t] >= 200}
                return rows
            call("enqueue", enqueue_sql(items))
            claimed = call("claim", claim_sql([{"run": i["run"], "session": i["session"]} for i in items]))
            self.assertEqual(len(claimed), len(items))
            of = {i["run"]: i["session"] for i in items}
            done = [{"run": r["run_id"], "session": of[r["run_id"]], "fence": r["fence"], "commit": r["commit_no"]} for r in claimed]
            again = call("journal", journal_sql([{**d, "messages": [said("one")]} for d in done]))
            self.assertEqual({r["outcome"] for r in again}, {"ok"})
            ends = [{**d, "commit": d["commit"] + 1, "messages": [said("two")], "events": [event(2, phase="end")], "end": [ended()]} for d in done]
            self.assertEqual({r["outcome"] for r in call("the end", journal_sql(ends))}, {"ok"})
            return spent
        first, second = ([self.session() for _ in range(8)] for _ in range(2))
        s.ask("BEGIN; TRUNCATE tb.agent_run_queue, tb.run_inputs, tb.idempotency_keys; ANALYZE tb.agent_run_queue, tb.run_inputs, tb.idempotency_keys;")
        try:
            lives(first)
            self.assertEqual(s.ask("SELECT count(*) FROM tb.agent_run_queue;"), "0")
            s.rows(enqueue_sql([self.item(i) for i in first]))
            s.ask("INSERT INTO tb.agent_run_queue SELECT (jsonb_populate_record(NULL::tb.agent_run_queue, to_jsonb(q) || jsonb_build_object("
                  "'run_id', gen_random_uuid(), 'lane_seq', g + 100, 'lane_pos', g + 100))).* FROM (SELECT * FROM tb.agent_run_queue LIMIT 1) q,"
                  " generate_series(1, 5000) g;"
                  "INSERT INTO tb.run_inputs SELECT q.tenant_id, q.run_id, '{}' FROM tb.agent_run_queue q ON CONFLICT DO NOTHING;"
                  "INSERT INTO tb.idempotency_keys SELECT 1, 'enqueue', g::text, '\\x00', gen_random_uuid(), now() FROM generate_series(1, 5000) g;")
            self.assertEqual(lives(second), {"enqueue": {}, "claim": {}, "journal": {}, "the end": {}})
        finally:
            s.ask("ROLLBACK;")


class Together(WithDatabase):
    """A batch of one goes by other statements than a batch of many: they must leave the same."""

    def normal(self, value, names):
        """Ids by their names, times by whether they are."""
        text = json.dumps(value, sort_keys=True)
        for id, name in names.items():
            text = text.replace(id, name)
        out = json.loads(text)

        def times(v):
            if isinstance(v, dict):
                return {k: (bool(x) if k.endswith("_at") or k in ("at", "due") else times(x)) for k, x in v.items() if k != "expires_at"}
            return [times(x) for x in v] if isinstance(v, list) else v
        return times(out)

    def tables(self, sessions):
        among = ", ".join(literal(s) for s in sessions)
        runs = f"(SELECT run_id FROM tb.agent_run_queue WHERE session_id IN ({among}) UNION SELECT run_id FROM tb.agent_runs WHERE session_id IN ({among}))"
        out = {}
        for table, where in (("lanes", f"session_id IN ({among})"), ("agent_run_queue", f"session_id IN ({among})"),
                             ("agent_runs", f"session_id IN ({among})"), ("session_messages", f"session_id IN ({among})"),
                             ("run_inputs", f"run_id IN {runs}"), ("run_events", f"run_id IN {runs}"), ("dead_runs", f"run_id IN {runs}"),
                             ("tool_executions", f"run_id IN {runs}"), ("usage_ledger", f"run_id IN {runs}")):
            out[table] = self.root.rows(f"SELECT * FROM tb.{table} WHERE {where}")
        return out

    def same_alone_and_together(self, scene, call):
        """scene() -> (items, names by id, sessions); call(items) -> rows. The items one by one and in one batch leave the same."""
        seen = []
        for together in (False, True):
            items, names, sessions = scene()
            if together:
                rows = call(*items)
            else:
                rows = [{**r, "n": n} for n, i in enumerate(items, 1) for r in call(i)]
            tables = self.normal(self.tables(sessions), names)
            for rows_of in tables.values():
                rows_of.sort(key=lambda r: json.dumps(r, sort_keys=True))
            seen.append((self.normal(rows, names), tables))
        self.maxDiff = 4000
        self.assertEqual(seen[0][0], seen[1][0])
        for table, rows in seen[0][1].items():
            self.assertEqual(rows, seen[1][1][table], table)
        return seen[0]

    def named(self, items, names):
        for n, i in enumerate(items):
            names.setdefault(i["run"], f"run{n}")
        return items

    def test_one_by_one_and_together_all_outcomes(self):
        for rare in (False, True):
            def scene():
                s = [self.session() for _ in range(6)]
                names = {id: f"session{n}" for n, id in enumerate(s)}
                key = uuid7()
                names[key] = "key"
                victims = [self.queued(s[2]) for _ in range(2)]
                active = self.running(s[3])["run"]
                landed = self.item(s[4])
                self.enqueue(landed)
                names.update({victims[0]: "victim0", victims[1]: "victim1", active: "active", landed["run"]: "landed"})
                self.close_lane(s[5])
                items = [self.item(s[0], "a", worker=3), self.item(s[0], "b"), self.item(s[1], "c", key=key, hash=b"1"),
                         self.item(s[1], "d", key=key, hash=b"1"), self.item(s[1], "e", key=key, hash=b"2"), landed,
                         self.item(s[5], "f"), self.item(s[1], "g", run_at="2099-01-01T00:00:00Z", mode="collect"),
                         self.item(s[3], "h", mode="steer", worker=3, user="u", deadline="2099-01-01T00:00:00Z", priority=5)]
                if rare:
                    items += [self.item(s[2], "i", victim=victims[0], fold=False), self.item(s[2], "j", victim=victims[1], fold=True),
                              self.item(s[3], "k", mode="interrupt"), self.item(s[3], "l", mode="interrupt"),
                              self.item(s[3], "m", kind="job", mode="delete"), self.item(s[4], "n", victim=active, fold=True)]
                return self.named(items, names), names, s
            for resend in (False, True):
                if not resend:
                    def scene_of(scene=scene):
                        items, names, s = scene()
                        return [i for i in items if names[i["run"]] != "landed"], names, s
                else:
                    scene_of = scene
                rows, _ = self.same_alone_and_together(scene_of, lambda *i, resend=resend: self.enqueue(*i, resend=resend))
                outcomes = {r["outcome"] for r in rows}
                self.assertEqual(outcomes, {"accepted", "same", "mismatch", "closed"} | ({"landed"} if resend else set()))
                self.assertEqual({r["victim"] for r in rows}, {None, "dropped", "folded", "kept"} if rare else {None})

    def test_claims_one_by_one_and_together(self):
        def scene():
            s = [self.session() for _ in range(11)]
            names = {id: f"session{n}" for n, id in enumerate(s)}
            fresh = self.queued(s[0])
            crashed, tired, stopped = self.running(s[1]), self.running(s[2]), self.running(s[3])
            self.journal({**tired, "retry": [retry(pause_us=0)]})
            self.cancel(stopped["run"])
            folded = self.queued(s[4])
            self.queued(s[4], victim=folded, fold=True)
            waiting = self.running(s[5])
            self.journal({**waiting, "asks": [ask()]})
            job = self.queued(s[6], kind="job", mode="compact")
            gone = self.queued(s[7])
            self.cancel(gone)
            other = uuid7()
            early, cut = self.running(s[9]), self.running(s[10])
            for i in (early, cut):
                self.journal({**i, "retry": [retry()]})
            self.enqueue(self.item(s[10], mode="interrupt"))
            items = [{"run": r, "session": x} for r, x in zip(
                (fresh, crashed["run"], tired["run"], stopped["run"], folded, waiting["run"], job, gone, other, early["run"],
                 cut["run"]), s)]
            items[1]["crashed"] = items[9]["crashed"] = True
            for n in (4, 10):
                for run in [r["run_id"] for r in self.root.rows(f"SELECT run_id FROM tb.agent_run_queue WHERE session_id = '{s[n]}'")]:
                    names[run] = f"another in lane {n}"
            for n, i in enumerate(items):
                names[i["run"]] = f"run{n}"
            return items, names, s
        rows, tables = self.same_alone_and_together(scene, self.claim)
        self.assertEqual([r["n"] for r in rows], [1, 2, 3, 4, 5, 7, 10, 11])
        by = {r["n"]: r for r in rows}
        self.assertEqual([(r["attempt"], r["crashes"], r["resumed"], r["appended"]) for r in rows if r["n"] != 10],
                         [(1, 0, False, 1), (1, 1, True, 0), (2, 0, True, 0), (1, 0, True, 0), (1, 0, False, 1), (1, 0, False, 0), (2, 0, True, 0)])
        self.assertEqual([(r["n"], r["cancel_code"]) for r in rows if r["cancel_requested"]], [(4, "cancelled"), (11, "interrupted")])
        self.assertEqual([r["n"] for r in rows if r["due"]], [10])
        self.assertEqual((by[3]["active_ms"], by[3]["max_attempts"], by[3]["mode"], by[7]["mode"]), (250, 5, "followup", "compact"))
        self.assertEqual(by[1]["body"], text_body("hello"))
        self.assertEqual([r["folded"] for r in tables["agent_run_queue"]], [False] * len(tables["agent_run_queue"]))

    def test_long_messages_claimed_together_stay_behind(self):
        """Of a batch: many of them in one answer would be more than the node can pass on. The transcript has them."""
        texts = ["short", "x" * 70000, "y" * 60000, "z" * 900000]
        s = [self.session() for _ in texts]
        runs = [self.queued(session, text) for session, text in zip(s, texts)]
        rows = self.claim(*({"run": r, "session": x} for r, x in zip(runs, s)))
        self.assertEqual([(r["outcome"], r["appended"], r["resumed"]) for r in rows], [("claimed", 1, False)] * len(texts))
        self.assertEqual([r["body"] for r in rows], [text_body(texts[0]), None, text_body(texts[2]), None])
        for row, session, text in zip(rows, s, texts):
            (message,) = self.root.rows(f"SELECT seq, content FROM tb.session_messages WHERE session_id = '{session}'")
            self.assertEqual(message, {"seq": row["input_seq"], "content": text_body(text)})
        alone = self.session()
        self.assertEqual(self.claim({"run": self.queued(alone, texts[3]), "session": alone})[0]["body"], text_body(texts[3]))

    def test_claims_in_blocked_lanes_one_by_one_and_together(self):
        """What started goes on, what did not has no row, whatever else is the matter with it."""
        self.addCleanup(self.agent_policy, None)
        self.agent_policy("block")
        empties = []

        def scene():
            s = [self.session() for _ in range(7)]
            names = {id: f"session{n}" for n, id in enumerate(s)}
            crashed, tired, early, stopped, asks = (self.running(x) for x in s[:5])
            fresh, empty = self.queued(s[5]), self.queued(s[6])
            self.journal({**tired, "retry": [retry(pause_us=0)]})
            for i in (early, stopped):
                self.journal({**i, "retry": [retry()]})
            self.cancel(stopped["run"])
            self.journal({**asks, "asks": [ask()]})
            self.root.ask(f"DELETE FROM tb.run_inputs WHERE run_id = '{empty}';")
            for x in s:
                late = self.queued(x, deadline="2020-01-01T00:00:00Z")
                self.expire(late)
                names[late] = f"late in {names[x]}"
                self.assertTrue(self.lane(x)["blocked"])
            items = [{"run": r, "session": x} for r, x in zip(
                (crashed["run"], tired["run"], early["run"], stopped["run"], asks["run"], fresh, empty), s)]
            items[0]["crashed"] = True
            empties.append(empty)
            return self.named(items, names), names, s
        rows, _ = self.same_alone_and_together(scene, self.claim)
        self.assertEqual([(r["n"], r["outcome"], r["attempt"], r["crashes"], r["cancel_code"]) for r in rows],
                         [(1, "claimed", 1, 1, None), (2, "claimed", 2, 0, None), (3, "later", None, None, None),
                          (4, "claimed", 2, 0, "cancelled")])
        for run in empties:
            self.root.ask(f"INSERT INTO tb.run_inputs (tenant_id, run_id, body) VALUES (1, '{run}', '{{}}');")

    def test_journal_one_by_one_and_together(self):
        def scene():
            s = [self.session() for _ in range(10)]
            names = {id: f"session{n}" for n, id in enumerate(s)}
            items = [self.running(x) for x in s]
            ok, done, dead, tired, takes, clears, stale, foreign, both, job = items
            for n, i in enumerate(items):
                names[i["run"]] = f"run{n}"
            call = tool(tool="t", effect="pure")
            ok.update(messages=[said("x"), said("y")], events=[event(2, "assistant")], tools=[call],
                      usage=[{"step": 1, "call": 0, "provider": "p", "model": "m", "in": 1, "out": 2, "cached": 0, "cache_write": 0, "reasoning": 1, "cost": 5, "ms": 7}])
            done.update(messages=[said("z")], events=[event(2, phase="end")], end=[ended()])
            dead.update(events=[event(2, phase="error")], end=[ended("dead", "llm_error", "five times in vain")])
            tired.update(events=[event(2, "retry")], retry=[retry()])
            for n, m in enumerate(("steer", "collect", "announce", "followup")):
                names[self.queued(takes["session"], m, mode=m)] = f"waits{n}"
            takes.update(messages=[said("w")], take=3)
            self.claim({"run": clears["run"], "session": clears["session"], "crashed": True})
            lane = self.lane(clears["session"])
            clears.update(fence=lane["fence"], commit=lane["commit_no"], clear=True)
            stale.update(commit=stale["commit"] - 1, messages=[said("never")], end=[ended()])
            foreign.update(cap="another", messages=[said("never")], take=7)
            folded = self.queued(both["session"], "folded")
            names[folded] = "folded"
            names[self.queued(both["session"], victim=folded, fold=True, mode="collect")] = "collect"
            both.update(take=6, messages=[said("v")])
            self.end(job)
            j = self.queued(job["session"], kind="job", mode="compact")
            names[j] = "job"
            (row,) = self.claim({"run": j, "session": job["session"]})
            items[9] = {"run": j, "session": job["session"], "fence": row["fence"], "commit": row["commit_no"],
                        "events": [event(2, phase="end")], "end": [ended()]}
            return items, names, s
        rows, tables = self.same_alone_and_together(scene, self.journal)
        self.assertEqual([r["outcome"] for r in rows], ["ok"] * 6 + ["stale"] * 2 + ["ok"] * 2)
        self.assertEqual([bool(r["taken"]) for r in rows], [n in (4, 8) for n in range(10)])
        self.assertEqual([t["run"] for t in rows[4]["taken"]], ["waits0", "waits1", "waits2"])
        self.assertEqual([t["run"] for t in rows[8]["taken"]], ["folded", "collect"])
        self.assertEqual({r["run_id"]: r["reason"] for r in tables["dead_runs"]}, {"run2": "attempts"})


class Claim(WithDatabase):
    def test_a_folded_run_claimed_last_is_no_longer_folded(self):
        s = self.session()
        folded = self.queued(s)
        other = self.queued(s, victim=folded, fold=True)
        self.cancel(other)
        (row,) = self.claim({"run": folded, "session": s})
        self.assertEqual((row["run_id"], row["body"]), (folded, text_body("hello")))
        self.assertFalse(self.live(folded)["folded"])

    def test_nothing_of_a_claim_that_found_no_row_stays(self):
        s = self.session()
        run = self.queued(s)
        self.cancel(run)
        before = self.lane(s)
        self.assertEqual(self.claim({"run": run, "session": s}), [])
        self.assertEqual(self.claim({"run": run, "session": s}, {"run": uuid7(), "session": uuid7()}), [])
        self.assertEqual(self.lane(s), before)

    def test_a_run_whose_message_is_missing_takes_no_number(self):
        for others in (0, 2):
            s, rest = self.session(), [self.session() for _ in range(others)]
            run = self.queued(s)
            self.root.ask(f"DELETE FROM tb.run_inputs WHERE run_id = '{run}';")
            before, lane = self.live(run), self.lane(s)
            rows = self.claim({"run": run, "session": s}, *({"run": self.queued(x), "session": x} for x in rest))
            self.assertEqual([(r["n"], r["outcome"]) for r in rows], [(1, "no_input")] + [(n + 2, "claimed") for n in range(others)])
            self.assertEqual((rows[0]["run_id"], rows[0]["fence"], rows[0]["body"]), (run, None, None))
            self.assertEqual((self.live(run), self.lane(s), self.messages(s), self.events(run)), (before, lane, [], []))
            self.bury(run, s, "no_input", "gone")
            self.assertEqual((self.dead(run)["reason"], self.dead(run)["input"], self.archived(run)["result"]), ("no_input", None, "dead"))
            self.assertEqual(self.redrive(run, uuid7())["outcome"], "no_input")
            after = self.running(s)
            self.assertEqual([m["seq"] for m in self.messages(s)], [1])
            self.end(after)

    def test_attempts_and_crashes(self):
        s = self.session()
        item = self.running(s)
        me = {"run": item["run"], "session": s}
        self.assertEqual([(r["attempt"], r["crashes"]) for r in self.claim({**me, "crashed": True})], [(1, 1)])
        self.assertEqual([(r["attempt"], r["crashes"]) for r in self.claim(me)], [(1, 1)])
        lane = self.lane(s)
        item.update(fence=lane["fence"], commit=lane["commit_no"])
        self.journal({**item, "retry": [retry(pause_us=0, active_ms=9000)]})
        (row,) = self.claim(me)
        self.assertEqual((row["attempt"], row["crashes"], row["active_ms"], row["resumed"]), (2, 1, 9000, True))

    def test_a_retry_that_is_not_due_is_left_alone(self):
        s = self.session()
        item = self.running(s)
        self.journal({**item, "retry": [retry()]})
        before, lane = self.live(item["run"]), self.lane(s)
        (row,) = self.claim({"run": item["run"], "session": s, "crashed": True})
        self.assertEqual((row["run_id"], row["due"]), (item["run"], before["run_at"]))
        self.assertEqual(row["outcome"], "later")
        self.assertEqual({v for k, v in row.items() if k not in ("n", "run_id", "due", "outcome")}, {None})
        self.assertEqual((self.live(item["run"]), self.lane(s)), (before, lane))
        self.root.ask(f"UPDATE tb.agent_run_queue SET run_at = now() WHERE run_id = '{item['run']}';")
        (row,) = self.claim({"run": item["run"], "session": s})
        self.assertEqual((row["attempt"], row["crashes"], row["due"], row["fence"]), (2, 0, None, lane["fence"] + 1))

    def test_a_cancelled_retry_is_claimed_at_once_with_the_first_reason(self):
        for reasons, code in ((("interrupt", "cancel"), "interrupted"), (("cancel", "interrupt"), "cancelled")):
            s = self.session()
            item = self.running(s)
            self.journal({**item, "retry": [retry()]})
            for reason in reasons:
                if reason == "cancel":
                    self.cancel(item["run"])
                else:
                    self.enqueue(self.item(s, mode="interrupt"))
            (row,) = self.claim({"run": item["run"], "session": s})
            self.assertEqual((row["attempt"], row["cancel_requested"], row["cancel_code"], row["due"]), (2, True, code, None))

    def test_a_pause_does_not_concern_it(self):
        s = self.session()
        run = self.queued(s)
        self.sup.ask(f"SELECT tb.pause('lane', 1, '{s}', true, 'ann');")
        self.assertEqual(len(self.claim({"run": run, "session": s})), 1)
        self.sup.ask(f"SELECT tb.pause('lane', 1, '{s}', false, 'ann');")


class Journal(WithDatabase):
    def test_a_take_with_nothing_waiting(self):
        s = self.session()
        item = self.running(s)
        later = self.queued(s, mode="steer", run_at="2099-01-01T00:00:00Z")
        plain = self.queued(s)
        (row,) = self.journal({**item, "messages": [said("x")], "take": 7})
        self.assertEqual((row["outcome"], row["taken"], row["head_seq"]), ("ok", None, 2))
        self.assertIsNotNone(self.live(later))
        self.assertIsNotNone(self.live(plain))

    def test_an_act_that_nobody_knows(self):
        s = self.session()
        item = self.running(s)
        with self.assertRaisesRegex(Refused, "22023"):
            self.journal({**item, "messages": [said("x")], "acts": [{"what": "nothing", "data": {}}]})
        (row,) = self.journal({**item, "messages": [said("x")]})  # nothing of it was written
        self.assertEqual((row["outcome"], row["head_seq"]), ("ok", 2))

    def test_steers_and_announcements_in_their_order(self):
        s = self.session()
        item = self.running(s)
        runs = [self.queued(s, m, mode=m) for m in ("steer", "followup", "announce", "collect", "steer")]
        (row,) = self.journal({**item, "messages": [said("x")], "take": 1})
        taken = [runs[0], runs[2], runs[4]]
        self.assertEqual(row["taken"], [{"run": r, "seq": n, "body": text_body(m)} for r, n, m in
                                        zip(taken, (3, 4, 5), ("steer", "announce", "steer"))])
        self.assertEqual((row["head_seq"], self.lane(s)["head_seq"]), (5, 5))
        for run, seq in zip(taken, (3, 4, 5)):
            self.check_superseded(run, item["run"], seq)
        self.assertEqual([(m["seq"], m["run_id"], m["role"], m["step"]) for m in self.messages(s)[2:]],
                         [(n, r, "user", 0) for r, n in zip(taken, (3, 4, 5))])
        (row,) = self.journal({**item, "commit": item["commit"] + 1, "messages": [said("y")], "take": 3})
        self.assertEqual([t["run"] for t in row["taken"]], [runs[3]])
        self.assertEqual(row["head_seq"], 7)
        self.assertIsNotNone(self.live(runs[1]))

    def test_a_collect_that_is_not_due_is_taken_by_its_sibling(self):
        s = self.session()
        item = self.running(s)
        later = self.queued(s, mode="collect", run_at="2099-01-01T00:00:00Z")
        (row,) = self.journal({**item, "take": 2})
        self.assertEqual([t["run"] for t in row["taken"]], [later])

    def test_a_steer_that_became_due_is_taken(self):
        s = self.session()
        item = self.running(s)
        (at,) = self.root.rows("SELECT clock_timestamp() + interval '300 ms' AS at")
        run = self.queued(s, mode="steer", run_at=at["at"])
        self.assertEqual(self.live(run)["state"], "scheduled")
        wait_for(lambda: self.root.rows(f"SELECT 1 FROM tb.agent_run_queue WHERE run_id = '{run}' AND run_at < clock_timestamp()"))
        (row,) = self.journal({**item, "take": 1})
        self.assertEqual([t["run"] for t in row["taken"]], [run])

    def test_folded_runs_become_one_message(self):
        s = self.session()
        item = self.running(s)
        texts = (text_body("one\ntwo\r\nthree", "four"), text_body("x" * 3000), {"blocks": [{"type": "image"}]}, text_body("last"))
        runs = [self.queued(s, body=b) for b in texts]
        steer = self.queued(s, "steer", mode="steer")
        for victim in runs:
            self.queued(s, victim=victim, fold=True)
        (row,) = self.journal({**item, "messages": [said("x")], "take": 5})
        body = text_body("Messages that arrived while this session's queue was full:\n- one two three four\n- " + "x" * 2000
                         + "\n- \n- last")
        self.assertEqual(row["taken"], [{"run": runs[0], "seq": 3, "body": body}]
                         + [{"run": r, "seq": 3, "body": None} for r in runs[1:]] + [{"run": steer, "seq": 4, "body": text_body("steer")}])
        for run in runs:
            self.check_superseded(run, item["run"], 3)
        message = self.messages(s)[2]
        self.assertEqual((message["run_id"], message["role"], message["content"]), (runs[0], "user", body))

    def test_a_take_has_no_end_and_an_end_no_retry(self):
        s = self.session()
        item = self.running(s)
        before = self.lane(s)
        for more in ({"take": 1, "end": [ended()]}, {"retry": [retry()], "end": [ended()]}):
            with self.assertRaisesRegex(Refused, "22023"):
                self.journal({**item, **more})
        self.assertEqual(self.lane(s), before)

    def test_a_stale_item_takes_nothing(self):
        s = self.session()
        item = self.running(s)
        steer = self.queued(s, mode="steer")
        (row,) = self.journal({**item, "fence": item["fence"] + 1, "take": 7, "clear": True, "retry": [retry()]})
        self.assertEqual((row["outcome"], row["taken"], row["head_seq"]), ("stale", None, None))
        self.assertIsNotNone(self.live(steer))
        self.assertEqual(self.live(item["run"])["state"], "running")

    def test_a_retry_lets_go(self):
        s = self.session()
        item = self.running(s)
        (row,) = self.journal({**item, "messages": [said("half")], "retry": [retry(pause_us=86400000001)]})
        self.assertEqual((row["outcome"], row["head_seq"]), ("ok", 2))
        q = self.live(item["run"])
        self.assertEqual((q["state"], q["last_code"], q["last_error"], q["active_ms"], q["cap_sha256"]),
                         ("retry_wait", "llm_error", "the model is away", 250, None))
        due = self.one(f"SELECT run_at - interval '1 day 1 us' = {literal(row['at'])}::timestamptz AS it FROM tb.agent_run_queue"
                       f" WHERE run_id = '{item['run']}'")
        self.assertTrue(due["it"])  # the pause begins at the commit, by the database's clock
        self.assertEqual(self.journal(item)[0]["outcome"], "stale")

    def asking(self, *asks, session=None):
        """A run that waits for that, as an item."""
        item = self.running(session or self.session())
        calls = [{"type": "tool_call", "callId": f"c{a['call']}", "name": a["tool"], "arguments": {}} for a in asks]
        answer = {"step": 1, "role": "assistant", "content": {"blocks": calls}, "tokens": 1}
        (row,) = self.journal({**item, "messages": [answer], "tools": [
            tool(call=a["call"], call_id=f"c{a['call']}", state="pending", output=None) for a in asks], "asks": list(asks)})
        return {**item, "commit": row["commit_no"]}, row

    def state_of(self, run):
        return self.live(run)["state"]

    def answered(self, ask, state="once", text=None, by="ann", tenant=1):
        (row,) = self.sup.rows(f"SELECT * FROM tb.approval_answer({tenant}, '{ask['id']}', {literal(state)}, {literal(text)}, '{by}')")
        return row

    def approval(self, ask):
        return self.one(f"SELECT * FROM tb.approvals WHERE approval_id = '{ask['id']}'")

    def over(self, *items):
        """Its run ends, so that its calls have results."""
        self.bury(items[0]["run"], items[0]["session"], "poison", "over")

    def test_a_question_lets_go(self):
        a, b = ask(), ask(1, life_us=7200000000)
        item, row = self.asking(a, b)
        q = self.live(item["run"])
        self.assertEqual((row["outcome"], q["state"], q["active_ms"], q["cap_sha256"]), ("ok", "waiting", 30, None))
        self.assertTrue(self.one(f"SELECT {literal(row['asks_until'])}::timestamptz = {literal(row['at'])}::timestamptz + interval '1 hour' AS it")["it"])
        self.assertEqual(self.journal(item)[0]["outcome"], "stale")
        self.assertEqual(self.claim({"run": item["run"], "session": item["session"]}), [])
        first = self.answered(a, "denied", "no")
        self.assertEqual((first["outcome"], first["queued"], first["ev_seq"], self.state_of(item["run"])), ("answered", False, 2, "waiting"))
        last = self.answered(b, "session")
        self.assertEqual((last["outcome"], last["queued"], last["ev_seq"], self.state_of(item["run"])), ("answered", True, 3, "queued"))
        for again, outcome in ((self.answered(b, "session"), "same"), (self.answered(b, "once"), "other"), (self.answered(a, "denied"), "other")):
            self.assertEqual((again["outcome"], again["queued"], again["ev_seq"]), (outcome, True, None))
        self.assertEqual(self.answered(a, tenant=2)["outcome"], "absent")
        (claimed,) = self.claim({"run": item["run"], "session": item["session"]})
        self.assertEqual((claimed["outcome"], claimed["attempt"], claimed["active_ms"], claimed["ev_seq"]), ("claimed", 1, 30, 3))
        self.assertFalse(self.answered(b, "session")["queued"])
        audit = self.root.rows(f"SELECT actor, action, detail FROM tb.audit_log WHERE object = 'approval:{a['id']}'")
        self.assertEqual([(x["actor"], x["action"], x["detail"]["message"]) for x in audit], [("ann", "approval.denied", "no")])
        self.over(item)

    def test_what_a_session_allows_holds_for_all_that_is_asked_of_the_tool(self):
        asked = [ask(), ask(1), ask(2, tool="bash"), ask(3, life_us=0)]
        item, _ = self.asking(*asked)
        row = self.answered(asked[1], "session")
        self.assertEqual((row["outcome"], row["queued"], row["ev_seq"]), ("answered", False, 3))
        self.assertEqual([self.approval(a)["state"] for a in asked], ["session", "session", "pending", "pending"])
        self.over(item)

    def test_a_question_stands_alone_in_its_item(self):
        item = self.running(self.session())
        for other in ({"retry": [retry()]}, {"end": [ended()]}, {"take": 1}):
            with self.assertRaises(Refused) as e:
                self.journal({**item, **other, "asks": [ask()]})
            self.assertEqual(str(e.exception), "22023")

    def test_nobody_is_asked_for_a_run_that_is_cancelled(self):
        """Whichever came first."""
        a, item = ask(), self.running(self.session())
        self.cancel(item["run"])
        (row,) = self.journal({**item, "asks": [a]})
        self.assertEqual((row["asks_until"], self.state_of(item["run"]), self.approval(a)["state"]), (None, "queued", "denied"))
        self.over(item)
        item, _ = self.asking(a := ask())
        (row,) = self.cancel(item["run"])
        self.assertEqual((row["outcome"], self.state_of(item["run"]), self.approval(a)["state"]), ("requested", "queued", "denied"))
        (claimed,) = self.claim({"run": item["run"], "session": item["session"]})
        self.assertTrue(claimed["cancel_requested"])
        self.over(item)

    def test_a_message_denies_all_and_an_interrupt_cuts_short(self):
        for mode in ("followup", "interrupt"):
            a, b, s = ask(), ask(1), self.session()
            item, _ = self.asking(a, b, session=s)
            waits = self.queued(s, mode=mode)
            self.assertFalse(self.live(item["run"])["cancel_requested"])
            (row,) = self.sup.rows(f"SELECT * FROM tb.approvals_deny(1, '{item['run']}', 'a message', 'message')")
            q = self.live(item["run"])
            self.assertEqual((row["queued"], q["state"], q["cancel_code"]), (True, "queued", "interrupted" if mode == "interrupt" else None))
            self.assertEqual([self.approval(x)["answer"] for x in (a, b)], ["a message"] * 2)
            self.assertEqual(self.sup.rows(f"SELECT * FROM tb.approvals_deny(1, '{item['run']}', 'a message', 'message')")[0]["queued"], True)
            self.cancel(waits)
            self.over(item)
            self.assertIsNone(self.sup.rows(f"SELECT * FROM tb.approvals_deny(1, '{item['run']}', 'a message', 'message')")[0]["queued"])

    def test_the_time_to_answer_is_the_databases(self):
        soon, late = ask(life_us=0), ask(1)
        item, _ = self.asking(soon, late)
        self.assertEqual(self.answered(soon)["state"], "expired")       # nobody had noticed
        self.assertEqual(self.expire(item["run"])[0]["outcome"], "kept")
        self.assertEqual([self.approval(x)["state"] for x in (soon, late)], ["expired", "pending"])
        self.root.ask(f"UPDATE tb.approvals SET expires_at = now() WHERE approval_id = '{late['id']}';")
        for _ in range(2):
            self.assertEqual(self.expire(item["run"])[0]["outcome"], "answered")
        self.assertEqual((self.approval(late)["state"], self.state_of(item["run"])), ("expired", "queued"))
        self.claim({"run": item["run"], "session": item["session"]})
        self.assertEqual(self.expire(item["run"])[0]["outcome"], "kept")
        self.over(item)

    def test_a_waiting_run_that_ends_denies_what_it_asked(self):
        item, _ = self.asking(a := ask())
        self.bury(item["run"], item["session"], "poison", "over")
        self.assertEqual((self.approval(a)["state"], self.answered(a)["queued"]), ("denied", None))

    def test_a_dead_end_is_listed(self):
        for code, reason in (("llm_error", "attempts"), ("policy", "policy"), ("deadline", "deadline"), (None, "attempts")):
            s = self.session()
            item = self.running(s, "what it was asked")
            self.journal({**item, "events": [event(2, phase="error")], "end": [ended("dead", code, "no more")]})
            d = self.dead(item["run"])
            self.assertEqual((d["reason"], d["error"], d["input"], d["redriven_as"]), (reason, "no more", text_body("what it was asked"), None))
            self.assertEqual(self.archived(item["run"])["result"], "dead")

    def test_a_dead_job_keeps_its_parameters(self):
        s = self.session()
        run = self.queued(s, kind="job", mode="compact", body={"keep": 3})
        (row,) = self.claim({"run": run, "session": s})
        self.journal({"run": run, "session": s, "fence": row["fence"], "commit": row["commit_no"], "events": [event(2, phase="error")],
                      "end": [ended("dead", "attempts", "no")]})
        self.assertEqual(self.dead(run)["input"], {"keep": 3})
        self.assertIsNone(self.one(f"SELECT * FROM tb.run_inputs WHERE run_id = '{run}'"))

    def test_crashes_are_cleared_only_on_demand(self):
        s = self.session()
        run = self.queued(s)
        for _ in range(2):
            (row,) = self.claim({"run": run, "session": s, "crashed": True})
        item = {"run": run, "session": s, "fence": row["fence"], "commit": row["commit_no"]}
        self.journal(item)
        self.assertEqual(self.live(run)["crashes"], 2)
        self.journal({**item, "clear": True})
        self.assertEqual(self.live(run)["crashes"], 0)


class History(WithDatabase):
    """What a worker reads of a lane, by its own statement."""

    def setUp(self):
        with open(os.path.join(ROOT, "worker", "sql.tbl")) as f:
            text = re.search(r"SQL\(HISTORY,(.*?)\)\n(?=SQL|/\*)", f.read(), re.S).group(1)
        self.text = "".join(re.findall(r'"([^"]*)"', text))
        self.sup.ask(f"SELECT tb.cap_grant('{NODE}', '{{{uuid7()}}}', '{{1}}', ARRAY[{literal(hashlib.sha256(CAP.encode()).digest())}::bytea]);")

    def seqs(self, session, own, most, cap=CAP):
        """The rows' numbers, and their bytes together."""
        sql = self.text
        for n, value in enumerate(("1::bigint", f"'{session}'::uuid", f"{own}::bigint", f"{most}::bigint"), 1):
            sql = sql.replace(f"${n}", value)
        self.worker.ask(f"BEGIN; SELECT set_config('app.cap', '{cap}', true);")
        rows = self.worker.rows(f"SELECT seq, octet_length(content::text) AS bytes FROM ({sql}) h")
        self.worker.ask("COMMIT;")
        return [r["seq"] for r in rows], sum(r["bytes"] for r in rows)

    def test_it_is_what_the_model_can_be_shown(self):
        s = self.session()
        item = self.running(s)
        for _ in range(5):
            (row,) = self.journal({**item, "messages": [said("y" * 50000), said("z" * 50000)]})
            item["commit"] = row["commit_no"]
        _, every = self.seqs(s, 12, 10000000)
        self.assertGreater(every, 500000)
        for own, most, first in ((12, every, 1), (12, every - 1, 2), (11, 120000, 10), (11, 10, 11), (5, 10, 5), (10, 120000, 10), (1, 10, 1)):
            seqs, size = self.seqs(s, own, most)
            self.assertEqual(seqs, list(range(11, first - 1, -1)), (own, most))
            self.assertTrue(size <= most or first == own, (own, most))
        self.root.ask(f"UPDATE tb.agent_sessions SET context_floor_seq = 9 WHERE session_id = '{s}';")
        self.assertEqual(self.seqs(s, 12, every)[0], [11, 10, 9])
        self.assertEqual(self.seqs(s, 12, 60000)[0], [11])
        self.assertEqual(self.seqs(s, 12, every, cap="guessed")[0], [])
        self.end(item)

    def test_many_short_ones_and_none(self):
        s = self.session()
        self.assertEqual(self.seqs(s, 1, 1000)[0], [])
        item = self.running(s)
        for _ in range(6):
            (row,) = self.journal({**item, "messages": [said("y")] * 900})
            item["commit"] = row["commit_no"]
        self.assertEqual(self.seqs(s, 5401, 4000000)[0], list(range(5401, 401, -1)))
        self.end(item)


class Hands(WithDatabase):
    """Cancel, expire, bury, redrive, pauses, audit, sessions."""

    def test_cancel(self):
        s = self.session()
        item = self.running(s)
        waits = self.queued(s, "never mind")
        later = self.queued(s, run_at="2099-01-01T00:00:00Z")
        finished = self.running(self.session())
        self.end(finished)
        tired = self.running(self.session())
        self.journal({**tired, "retry": [retry()]})
        rows = self.cancel(waits, item["run"], finished["run"], uuid7(), later, tired["run"])
        self.assertEqual([(r["n"], r["outcome"], r["result"]) for r in rows],
                         [(1, "cancelled", "cancelled"), (2, "requested", None), (3, "ended", "completed"), (4, "absent", None),
                          (5, "cancelled", "cancelled"), (6, "requested", None)])
        self.assertEqual([r["session"] for r in rows], [s, s, finished["session"], None, s, tired["session"]])
        self.check_unstarted_end(waits, "cancelled", "cancelled", "cancelled by ann before it started")
        self.assertEqual(self.archived(waits)["input"], text_body("never mind"))
        self.assertEqual([r["outcome"] for r in self.cancel(waits, item["run"])], ["ended", "requested"])
        self.assertTrue(self.live(item["run"])["cancel_requested"])

    def test_cancel_by_nobody_in_particular_with_a_code(self):
        run = self.queued(self.session())
        self.cancel(run, code="shutdown", by=None)
        self.check_unstarted_end(run, "cancelled", "shutdown", "cancelled before it started")

    def test_the_same_run_twice_in_a_batch(self):
        run = self.queued(self.session())
        self.assertEqual([r["outcome"] for r in self.cancel(run, run)], ["cancelled", "ended"])

    def test_expire(self):
        s = self.session()
        past, future = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
        item = self.running(s)
        self.root.ask(f"UPDATE tb.agent_run_queue SET deadline_at = '{past}' WHERE run_id = '{item['run']}';")
        tired = self.running(self.session())
        self.journal({**tired, "retry": [retry()]})
        self.root.ask(f"UPDATE tb.agent_run_queue SET deadline_at = '{past}' WHERE run_id = '{tired['run']}';")
        over, early, without = self.queued(s, deadline=past), self.queued(s, deadline=future), self.queued(s)
        folded = self.queued(s, deadline=past)
        self.queued(s, victim=folded, fold=True)
        rows = self.expire(over, early, without, item["run"], folded, uuid7(), tired["run"])
        self.assertEqual([r["outcome"] for r in rows], ["expired", "kept", "kept", "kept", "expired", "absent", "kept"])
        self.assertEqual(self.live(tired["run"])["state"], "retry_wait")  # a deadline is of what never started
        for run in (over, folded):
            self.check_unstarted_end(run, "timed_out", "deadline", "it waited past its deadline")
        self.assertEqual([r["outcome"] for r in self.expire(over)], ["absent"])

    def test_expire_waits_for_no_lane(self):
        past = "2020-01-01T00:00:00Z"
        held, free = self.session(), self.session()
        a, b, c = self.queued(held, deadline=past), self.queued(free, deadline=past), self.queued(held, deadline=past)
        other = Session(self.node.cluster, f"host={self.node.cluster.socket} dbname=terabits user=postgres")
        self.addCleanup(other.close)
        other.ask(f"BEGIN; SELECT FROM tb.lanes WHERE session_id = '{held}' FOR UPDATE;")
        self.sup.ask("SET lock_timeout = '1ms';")
        self.addCleanup(self.sup.ask, "RESET lock_timeout;")
        rows = self.expire(a, b, c, uuid7())
        self.assertEqual([r["outcome"] for r in rows], ["locked", "expired", "locked", "absent"])
        self.assertEqual([bool(self.live(r)) for r in (a, b, c)], [True, False, True])
        other.ask("ROLLBACK;")
        self.assertEqual([r["outcome"] for r in self.expire(a, b, c)], ["expired", "absent", "expired"])
        self.assertEqual(self.archived(a)["error_code"], "deadline")

    def test_what_is_kept_of_a_call(self):
        item = self.running(self.session())
        self.journal({**item, "tools": [tool(state="running", output=None, policy=3)]})
        done = tool(state="error", ms=12, bytes=500, exit=2, cut=True, policy=2)
        self.journal({**item, "commit": item["commit"] + 1,
                      "tools": [done, tool(call=1, call_id="c2", signal="KILL", **{"class": "tool_failed"})]})
        rows = self.root.rows("SELECT state, policy_version, duration_ms, output_bytes, exit_code, signal, error_class, truncated"
                              f" FROM tb.tool_executions WHERE run_id = '{item['run']}' ORDER BY call_no")
        self.assertEqual([tuple(r.values()) for r in rows],
                         [("error", 3, 12, 500, 2, None, None, True), ("completed", 0, None, None, None, "KILL", "tool_failed", False)])

    def test_a_step_hears_of_another_policy(self):
        s = self.session()
        item = self.running(s)

        def versions(n, **kw):
            (row,) = self.journal({**item, "commit": item["commit"] + n, **kw})
            return row["versions"]
        self.assertIsNone(versions(0, messages=[said("no call")]))
        self.assertEqual(versions(1, tools=[tool()]), "0.0.0")
        self.root.ask(f"INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile, version) VALUES (1, '{AGENT}', 'full', 4);")
        self.root.ask("INSERT INTO tb.tool_ceilings (tenant_id, version) VALUES (1, 7);")
        self.root.ask(f"UPDATE tb.agent_sessions SET policy_version = 2 WHERE session_id = '{s}';")
        try:
            self.assertEqual(versions(2, tools=[tool(call=1)]), "7.4.2")
            self.assertEqual(versions(3, messages=[said("no call")], take=1), "7.4.2")  # the model is asked next
        finally:
            self.root.ask("DELETE FROM tb.tool_ceilings; DELETE FROM tb.agent_tool_policies;")

    def test_what_a_run_reads_has_the_versions_that_its_claim_finds(self):
        """Else no run would ever find its session's permit fresh. And nothing is read with a capability that is none."""
        s = self.session()
        self.sup.ask(f"SELECT tb.cap_grant('{NODE}', '{{{uuid7()}}}', '{{1}}', ARRAY[{literal(hashlib.sha256(CAP.encode()).digest())}::bytea]);")
        terms = "SELECT versions FROM tb.run_terms('%s', 1, '" + AGENT + f"', '{s}', 0, '')"
        found = []
        try:
            for change in ("", f"INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile, version) VALUES (1, '{AGENT}', 'full', 4);",
                           "INSERT INTO tb.tool_ceilings (tenant_id, version) VALUES (1, 7);",
                           f"UPDATE tb.agent_sessions SET policy_version = 2, skills_version = 3 WHERE session_id = '{s}';",
                           "INSERT INTO tb.money_terms VALUES (0, 2), (1, 5);"):
                self.root.ask(change or "SELECT 1;")
                (claim,) = self.root.rows(f"SELECT tb.policy_versions(1, '{AGENT}', '{s}') AS versions")
                self.assertEqual(self.worker.rows(terms % CAP), [claim])
                found.append(claim["versions"])
        finally:
            self.root.ask("DELETE FROM tb.tool_ceilings; DELETE FROM tb.agent_tool_policies; DELETE FROM tb.money_terms;")
        self.assertEqual(found, ["0.0.0", "0.4.0", "7.4.0", "7.4.5", "7.4.5.7"])
        self.assertEqual(self.worker.rows(terms % "guessed"), [])

    def test_cancel_of_a_run_that_cannot_start_again(self):
        """Its lane is paused because the database refuses its claim: it ends now, its calls get their results."""
        s = self.session()
        item = self.running(s, "do it")
        call = {"type": "tool_call", "callId": "c1", "name": "memory_store", "input": {}}
        (row,) = self.journal({**item, "messages": [{"step": 1, "role": "assistant", "content": {"blocks": [call]}, "tokens": 1}], "tools": [
            tool(call=1, state="running", output=None)]})
        self.assertEqual(row["outcome"], "ok")
        waits = self.queued(s)
        for by in ("ann", "claim-refused 23505"):
            self.sup.ask(f"SELECT tb.pause('lane', 1, '{s}', true, '{by}');")
            (row,) = self.cancel(item["run"], by="bob")
            if by == "ann":
                self.assertEqual(row["outcome"], "requested")
                self.sup.ask(f"SELECT tb.pause('lane', 1, '{s}', false, 'ann');")
        self.assertEqual((row["outcome"], row["result"], row["session"]), ("cancelled", "cancelled", s))
        self.assertIsNone(self.live(item["run"]))
        kept = self.archived(item["run"])
        self.assertEqual((kept["result"], kept["error_code"], kept["error"], kept["attempts"]),
                         ("cancelled", "cancelled", "cancelled by bob: the database had refused to start it again", 1))
        self.assertIsNone(self.dead(item["run"]))
        last = self.root.rows(f"SELECT type, body FROM tb.run_events WHERE run_id = '{item['run']}' ORDER BY ev_seq")[-2:]
        self.assertEqual([(e["type"], e["body"]["metadata"]) for e in last],
                         [("error", {"code": "cancelled"}), ("lifecycle", {"result": "cancelled", "code": "cancelled"})])
        call = self.one(f"SELECT state FROM tb.tool_executions WHERE run_id = '{item['run']}'")
        self.assertEqual(call["state"], "unknown")
        self.assertEqual(self.lane(s)["fence"], item["fence"] + 1)  # a worker that runs it after all writes nothing more
        self.assertEqual(self.redrive(item["run"], uuid7())["outcome"], "queued")
        self.assertEqual([r["outcome"] for r in self.cancel(waits)], ["cancelled"])
        self.sup.ask(f"SELECT tb.pause('lane', 1, '{s}', false, 'ann');")

    def test_bury_as_before(self):
        item = self.running(self.session(), "poisonous")
        waits = self.queued(self.session())
        rows = self.sup.rows("SELECT * FROM tb.bury(" + arrays(
            [{"t": 1, "r": item["run"], "s": item["session"]}, {"t": 1, "r": uuid7(), "s": uuid7()}],
            (("t", "bigint"), ("r", "uuid"), ("s", "uuid"))) + ", 'poison', 'three workers')")
        self.assertEqual([(r["n"], r["ev_seq"]) for r in rows], [(1, 3)])
        self.assertEqual((self.dead(item["run"])["reason"], self.dead(item["run"])["input"]), ("poison", text_body("poisonous")))
        self.cancel(waits)

    def check_redriven(self, run, session, body):
        new = uuid7()
        row = self.redrive(run, new)
        self.assertEqual((row["outcome"], row["session_id"], row["agent_id"], row["slot"], row["priority"]), ("queued", session, AGENT, 7, 0))
        q = self.live(new)
        self.assertEqual((q["retry_of"], q["mode"], q["state"], q["lane_pos"], q["order_us"]), (run, "followup", "queued", row["lane_seq"], 77))
        self.assertEqual(self.one(f"SELECT body FROM tb.run_inputs WHERE run_id = '{new}'")["body"], body)
        return new, row

    def test_redrive_what_never_started(self):
        s = self.session()
        dropped, cancelled, expired = (self.queued(s, t, mode="steer", deadline="2020-01-01T00:00:00Z") for t in ("a", "b", "c"))
        self.queued(s, victim=dropped, fold=False)
        self.cancel(cancelled)
        self.expire(expired)
        for run, text in ((dropped, "a"), (cancelled, "b"), (expired, "c")):
            self.check_redriven(run, s, text_body(text))

    def test_redrive_what_failed_or_was_taken(self):
        s = self.session()
        item = self.running(s, "do it")
        steer = self.queued(s, "and this", mode="steer")
        self.journal({**item, "take": 1})
        item["commit"] += 1
        self.end(item, result="failed", code="llm_error", error="no")
        self.check_redriven(item["run"], s, text_body("do it"))
        self.check_redriven(steer, s, text_body("and this"))

    def test_redrive_the_dead_once(self):
        s = self.session()
        item = self.running(s, "again")
        self.journal({**item, "events": [event(2, phase="error")], "end": [ended("dead", "llm_error", "no more")]})
        new, row = self.check_redriven(item["run"], s, text_body("again"))
        d = self.dead(item["run"])
        self.assertEqual((d["redriven_as"], d["redriven_by"]), (new, "ann"))
        self.assertEqual(self.redrive(item["run"], new), row)
        (claimed,) = self.claim({"run": new, "session": s})
        self.end({"run": new, "session": s, "fence": claimed["fence"], "commit": claimed["commit_no"]})
        self.assertEqual(self.redrive(item["run"], new), row)
        other = self.redrive(item["run"], uuid7())
        self.assertEqual((other["outcome"], other["heir"], other["session_id"], other["lane_seq"]), ("redriven", new, None, None))

    def test_redrive_what_is_not_dead_once(self):
        """Who heard no answer asks again with another id, while the first heir lives and after it has ended."""
        s = self.session()
        item = self.running(s, "once")
        self.end(item, result="failed", code="llm_error", error="no")
        heir, row = self.check_redriven(item["run"], s, text_body("once"))
        for ended in (False, True):
            if ended:
                (claimed,) = self.claim({"run": heir, "session": s})
                self.end({"run": heir, "session": s, "fence": claimed["fence"], "commit": claimed["commit_no"]})
            before = self.lane(s)
            other = self.redrive(item["run"], uuid7())
            self.assertEqual((other["outcome"], other["heir"], other["session_id"], other["lane_seq"]), ("redriven", heir, None, None))
            self.assertEqual(self.lane(s), before)
            self.assertEqual(self.redrive(item["run"], heir), row)
        self.assertEqual(self.one(f"SELECT count(*) AS n FROM (SELECT retry_of FROM tb.agent_runs UNION ALL SELECT retry_of FROM"
                                  f" tb.agent_run_queue) x WHERE retry_of = '{item['run']}'")["n"], 1)
        self.check_redriven(heir, s, text_body("once"))  # the heir's own heir

    def test_redrives_at_once_make_one_heir(self):
        s = self.session()
        item = self.running(s, "once")
        self.end(item, result="failed", code="llm_error", error="no")
        other = Session(self.node.cluster, f"host={self.node.cluster.socket} dbname=terabits user=postgres")
        self.addCleanup(other.close)
        other.ask(f"BEGIN; SELECT * FROM tb.redrive(1, '{item['run']}', '{uuid7()}', 77, 'ann');")
        self.sup.send_rows(f"SELECT * FROM tb.redrive(1, '{item['run']}', '{uuid7()}', 78, 'bob')")
        wait_for(lambda: self.root.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock';") != "0")
        other.ask("COMMIT;")
        self.assertEqual([r["outcome"] for r in json.loads(self.sup.result())], ["redriven"])

    def test_an_heir_is_found_by_an_index(self):
        plan = self.root.ask("PREPARE heir(bigint, uuid) AS SELECT a.run_id FROM tb.agent_runs a WHERE a.tenant_id = $1 AND a.retry_of = $2 LIMIT 1;"
                             f"EXPLAIN EXECUTE heir(1, '{uuid7()}'); DEALLOCATE heir;")
        self.assertIn("agent_runs_heir", plan)

    def test_redrive_a_job_of_its_kind(self):
        s = self.session()
        run = self.queued(s, kind="job", mode="compact", body={"keep": 3})
        self.cancel(run)
        new = uuid7()
        self.assertEqual(self.redrive(run, new)["outcome"], "queued")
        self.assertEqual((self.live(new)["kind"], self.live(new)["mode"]), ("job", "compact"))

    def test_redrive_refusals(self):
        s, closed = self.session(), self.session()
        self.assertEqual(self.redrive(uuid7(), uuid7())["outcome"], "absent")
        run = self.queued(s)
        self.assertEqual(self.redrive(run, uuid7())["outcome"], "live")
        gone = self.queued(closed)
        self.cancel(gone)
        self.close_lane(closed)
        self.assertEqual(self.redrive(gone, uuid7())["outcome"], "closed")
        self.cancel(run)
        self.root.ask(f"UPDATE tb.agent_runs SET input = NULL WHERE run_id = '{run}';")
        before = self.lane(s)
        self.assertEqual(self.redrive(run, uuid7())["outcome"], "no_input")
        self.assertEqual(self.lane(s), before)
        self.root.ask(f"UPDATE tb.agent_runs SET input = '{{}}' WHERE run_id = '{run}';")

    def test_pauses(self):
        def pause(scope, tenant, object, paused=True):
            return self.sup.ask(f"SELECT tb.pause('{scope}', {literal(tenant)}, {literal(object)}, {literal(paused)}, 'ann');") == "t"
        s = self.session()
        what = (("node", 0, None), ("tenant", 1, None), ("agent", 1, AGENT), ("lane", 1, s))
        for w in what:
            self.assertEqual([pause(*w), pause(*w)], [True, False])
        nil = str(uuid.UUID(int=0))
        rows = self.sup.rows("SELECT scope, tenant_id, object, paused_by FROM tb.queue_pauses WHERE paused_by = 'ann' ORDER BY scope")
        self.assertEqual(rows, [{"scope": c, "tenant_id": t, "object": o or nil, "paused_by": "ann"} for c, t, o in sorted(what)])
        for w in what:
            self.assertEqual([pause(*w, False), pause(*w, False)], [True, False])
        for w in (("world", 0, None), ("node", 1, None), ("tenant", 1, s), ("agent", 1, None), ("lane", 0, s)):
            with self.assertRaisesRegex(Refused, "23514"):
                pause(*w)

    def test_audit(self):
        for detail in ('\'{"n":1}\'', "NULL"):
            self.sup.ask(f"SELECT tb.audit(1, 'uid:0', 'queue.pause', 'node', {detail});")
        rows = self.root.rows("SELECT actor, object, detail FROM tb.audit_log WHERE tenant_id = 1 AND action = 'queue.pause'")
        self.assertEqual(sorted(rows, key=str), [{"actor": "uid:0", "object": "node", "detail": d} for d in ({"n": 1}, {})])

    OPEN = (("t", "bigint"), ("a", "uuid"), ("k", "text"), ("s", "uuid"), ("slot", "smallint"), ("u", "text"))

    def open(self, *wants):
        return self.edge.rows("SELECT * FROM tb.open_sessions(" + arrays(
            [dict(zip(("t", "a", "k", "s", "slot", "u"), (t, a, k, s, 9, "user"))) for t, a, k, s in wants], self.OPEN) + ")")

    def test_open_sessions(self):
        a, b, c, d = (uuid7() for _ in range(4))
        key = uuid7()
        rows = self.open((1, AGENT, key, a), (2, AGENT, key, b), (1, AGENT, key, c), (1, GONE_AGENT, key, d), (0, AGENT, key, d),
                         (-1, AGENT, key, d), (1, uuid7(), key, d), (1, AGENT, key + "x", d))
        made = rows[0]["session_id"]
        self.assertIn(made, (a, c))
        self.assertEqual([r["session_id"] for r in rows], [made, b, made, None, None, None, None, d])
        self.assertEqual(rows, self.open((1, AGENT, key, uuid7()), (2, AGENT, key, uuid7()), (1, AGENT, key, uuid7()), (1, GONE_AGENT, key, d),
                                         (0, AGENT, key, d), (-1, AGENT, key, d), (1, uuid7(), key, d), (1, AGENT, key + "x", uuid7())))
        self.assertEqual(len(self.root.rows(f"SELECT 1 FROM tb.lanes WHERE session_id IN ('{a}', '{b}', '{c}', '{d}')")), 3)
        self.assertEqual(self.one(f"SELECT slot, user_id, mode FROM tb.agent_sessions WHERE session_id = '{made}'"),
                         {"slot": 9, "user_id": "user", "mode": "runtime"})
        self.root.ask(f"UPDATE tb.agent_sessions SET queue_mode = 'collect', status = 'deleted' WHERE session_id = '{made}';")
        self.assertEqual(self.open((1, AGENT, key, uuid7())), [{"n": 1, "session_id": made, "queue_mode": "collect"}])

    def test_a_session_id_that_is_taken_opens_nothing(self):
        s = self.session()
        self.assertEqual(self.open((1, AGENT, uuid7(), s))[0]["session_id"], None)


class Failures(WithDatabase):
    """What a failure does to its lane, in the commit that archives it."""

    def setUp(self):
        self.addCleanup(self.agent_policy, None)

    def failed(self, item, result="failed", code="model_auth"):
        self.end(item, result=result, code=code, error="no")
        return item["run"]

    def pause_of(self, session):
        return self.one(f"SELECT * FROM tb.queue_pauses WHERE scope = 'lane' AND object = '{session}'")

    def pause(self, session, on, by="ann"):
        (row,) = self.sup.rows(f"SELECT tb.pause('lane', 1, '{session}', {literal(on)}, '{by}') AS changed")
        return row["changed"]

    def assert_blocked(self, session, run, code="model_auth", by="failure"):
        p = self.pause_of(session)
        self.assertEqual((p["failed_run"], p["failed_code"], p["paused_by"]), (run, code, by))
        self.assertTrue(self.lane(session)["blocked"])

    def assert_free(self, session):
        self.assertIsNone(self.pause_of(session))
        self.assertFalse(self.lane(session)["blocked"])

    def test_without_a_policy_nothing_happens(self):
        for policy in (None, "continue"):
            self.agent_policy(policy)
            s = self.session()
            first, waits = self.running(s), self.queued(s)
            self.failed(first)
            self.assert_free(s)
            self.assertEqual(len(self.claim({"run": waits, "session": s})), 1)

    def test_an_end_that_is_a_failure_tells_the_policy(self):
        for policy in (None, "continue", "block", "drop_rest"):
            self.agent_policy(policy)
            said_of_it = policy or "continue"
            for result in ("failed", "dead", "timed_out", "cancelled", "completed"):
                (row,) = self.journal({**self.running(self.session()), "messages": [said("x")], "events": [event(2, phase="end")],
                                       "end": [ended(result)]})
                self.assertEqual(row["policy"], None if result in ("cancelled", "completed") else said_of_it)
            items = [self.running(self.session()) for _ in range(5)]
            for i, result in zip(items, ("completed", "failed", "failed", None, "dead")):
                i.update(messages=[said("x")], events=[event(2, phase="end") if result else event(2, "assistant")])
                if result:
                    i["end"] = [ended(result)]
            stale = {**items[2], "fence": 0}
            rows = self.journal(*items[:2], stale, *items[3:])
            self.assertEqual([(r["outcome"], r["policy"]) for r in rows],
                             [("ok", None), ("ok", said_of_it), ("stale", None), ("ok", None), ("ok", said_of_it)])
            self.end(items[2])
            self.end(items[3], events=3)

    def test_a_wrong_policy_is_refused(self):
        for wrong in ("stop", "", "Block", 1, True, ["block"]):
            with self.assertRaises(Refused) as r:
                self.root.ask("INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config)"
                              f" VALUES (1, '{AGENT}', 999, {literal({'onFailure': wrong})});")
            self.assertTrue(str(r.exception).startswith("23514"), r.exception)

    def test_what_is_a_failure(self):
        self.agent_policy("block")
        for result, fails in (("failed", True), ("dead", True), ("timed_out", True), ("cancelled", False), ("completed", False)):
            s = self.session()
            run = self.running(s)
            self.queued(s)
            self.failed(run, result)
            if fails:
                self.assert_blocked(s, run["run"])
            else:
                self.assert_free(s)

    def test_a_blocked_lane_starts_nothing(self):
        self.agent_policy("block")
        s, other = self.session(), self.session()
        first, waits = self.running(s), self.queued(s)
        run = self.failed(first)
        self.assert_blocked(s, run)
        lane = self.lane(s)
        free = self.queued(other)
        self.assertEqual(self.claim({"run": waits, "session": s}), [])
        self.assertEqual([r["n"] for r in self.claim({"run": waits, "session": s}, {"run": free, "session": other})], [2])
        self.assertEqual(self.lane(s), lane)
        self.assertEqual(self.live(waits)["state"], "queued")
        self.assertTrue(self.pause(s, False))
        self.assert_free(s)
        self.assertEqual(len(self.claim({"run": waits, "session": s})), 1)

    def test_no_fused_start_in_a_blocked_lane(self):
        self.agent_policy("block")
        lanes = [self.session() for _ in range(3)]
        for s in lanes[:2]:
            self.failed(self.running(s))
        (row,) = self.enqueue(self.item(lanes[0], worker=3))
        self.assertEqual((row["outcome"], row["fence"]), ("accepted", None))
        rows = self.enqueue(self.item(lanes[1], worker=3), self.item(lanes[2], worker=3))
        self.assertEqual([r["fence"] for r in rows], [None, 1])

    def test_a_batch_of_ends(self):
        self.agent_policy("block")
        s, other = self.session(), self.session()
        bad, good = self.running(s), self.running(other)
        self.journal({**bad, "messages": [said("x")], "events": [event(2, phase="error")], "end": [ended("failed", "model_auth", "no")]},
                     {**good, "messages": [said("x")], "events": [event(2, phase="end")], "end": [ended()]})
        self.assert_blocked(s, bad["run"])
        self.assert_free(other)

    def test_the_first_failure_is_the_reason(self):
        self.agent_policy("block")
        s = self.session()
        first, late = self.running(s), self.queued(s, deadline="2020-01-01T00:00:00Z")
        run = self.failed(first)
        (row,) = self.expire(late)
        self.assertEqual((row["outcome"], row["policy"]), ("expired", "block"))
        self.assert_blocked(s, run)

    def test_a_deadline_and_a_burial_are_failures(self):
        self.agent_policy("block")
        s, other = self.session(), self.session()
        late = self.queued(s, deadline="2020-01-01T00:00:00Z")
        self.expire(late)
        self.assert_blocked(s, late, "deadline")
        run = self.running(other)["run"]
        self.sup.rows(f"SELECT * FROM tb.bury(ARRAY[1], ARRAY['{run}']::uuid[], ARRAY['{other}']::uuid[], 'poison', 'it fell')")
        self.assert_blocked(other, run, "poison")

    def test_a_cancel_is_none(self):
        self.agent_policy("block")
        s = self.session()
        self.cancel(self.queued(s))
        self.queued(s, victim=self.queued(s), fold=False)
        self.assert_free(s)

    def test_a_persons_pause_stays_theirs(self):
        self.agent_policy("block")
        before, after = self.session(), self.session()
        first = self.running(before)
        self.assertTrue(self.pause(before, True))
        run = self.failed(first)
        self.assert_blocked(before, run, by="ann")
        self.assertFalse(self.pause(before, True, "bob"))
        other = self.failed(self.running(after))
        self.assertTrue(self.pause(after, True, "bob"))
        self.assert_blocked(after, other, by="bob")
        for s, failed in ((before, run), (after, other)):
            waits = self.queued(s)
            row = self.redrive(failed, uuid7())
            self.assertEqual((row["outcome"], row["paused"]), ("queued", True))
            self.assertLess(row["lane_pos"], self.live(waits)["lane_pos"])
            p = self.pause_of(s)
            self.assertEqual((p["failed_run"], p["failed_code"]), (None, None))
            self.assertFalse(self.lane(s)["blocked"])
            self.assertTrue(self.pause(s, False))
            self.assert_free(s)

    def test_a_redrive_of_the_failed_run_goes_first(self):
        self.agent_policy("block")
        for result in ("failed", "dead"):
            s = self.session()
            first = self.running(s)
            waits = [self.queued(s), self.queued(s)]
            run, heir = self.failed(first, result), uuid7()
            row = self.redrive(run, heir)
            self.assertEqual((row["outcome"], row["paused"]), ("queued", False))
            self.assertEqual(row["lane_pos"], self.live(waits[0])["lane_pos"] - 1)
            again = self.redrive(run, heir)
            self.assertEqual((again["lane_pos"], again["paused"]), (row["lane_pos"], False))
            self.assert_free(s)
            self.assertEqual(len(self.claim({"run": heir, "session": s})), 1)

    def test_a_redrive_into_an_empty_blocked_lane(self):
        self.agent_policy("block")
        s = self.session()
        row = self.redrive(self.failed(self.running(s)), uuid7())
        self.assertEqual((row["lane_pos"], row["paused"]), (row["lane_seq"], False))
        self.assert_free(s)

    def test_a_redrive_of_another_run_goes_last_and_ends_no_block(self):
        s = self.session()
        old = self.failed(self.running(s))
        self.agent_policy("block")
        run = self.failed(self.running(s))
        waits = self.queued(s)
        row = self.redrive(old, uuid7())
        self.assertTrue(row["paused"])
        self.assertGreater(row["lane_pos"], self.live(waits)["lane_pos"])
        self.assert_blocked(s, run)

    def test_drop_rest(self):
        self.agent_policy("drop_rest")
        for together in (False, True):
            s, other = self.session(), self.session()
            first, elsewhere = self.running(s), self.queued(other)
            waits = [self.queued(s, mode=m) for m in ("followup", "steer", "collect")]
            waits.append(self.queued(s, run_at="2099-01-01T00:00:00Z"))
            folded = self.queued(s)
            self.queued(s, victim=folded, fold=True, kind="job", mode="compact")
            job = self.one(f"SELECT run_id FROM tb.agent_run_queue WHERE session_id = '{s}' AND kind = 'job'")["run_id"]
            interrupt = self.queued(s, mode="interrupt")
            if together:
                good = self.running(self.session())
                self.journal({**first, "messages": [said("x")], "events": [event(2, phase="error")], "end": [ended("failed", "model_auth", "no")]},
                             {**good, "messages": [said("x")], "events": [event(2, phase="end")], "end": [ended()]})
            else:
                self.failed(first)
            for run in (*waits, folded):
                self.check_unstarted_end(run, "dropped", "lane_failed", f"run {first['run']} before it in its session failed (model_auth), and the"
                                         " agent drops what waits then")
            for run in (job, interrupt, elsewhere):
                self.assertIsNotNone(self.live(run))
            self.assert_free(s)
            self.assertEqual(len(self.claim({"run": interrupt, "session": s})), 1)

    def test_an_expired_run_drops_those_behind_it(self):
        self.agent_policy("drop_rest")
        s = self.session()
        runs = [self.queued(s, deadline=d) for d in (None, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", None)]
        self.assertEqual([(r["outcome"], r["policy"]) for r in self.expire(runs[1], runs[2])], [("expired", "drop_rest"), ("absent", None)])
        self.assertIsNotNone(self.live(runs[0]))
        self.assertEqual([self.archived(r)["result"] for r in runs[1:]], ["timed_out", "dropped", "dropped"])

    def test_the_present_revision_decides(self):
        s = self.session()
        first, waits = self.running(s), self.queued(s)
        self.agent_policy("drop_rest")
        self.failed(first)
        self.assertEqual(self.archived(waits)["result"], "dropped")

    def test_a_failure_and_a_claim(self):
        """The claim waits for the lane, and sees what the failure did."""
        self.agent_policy("block")
        s = self.session()
        late, waits = self.queued(s, deadline="2020-01-01T00:00:00Z"), self.queued(s)
        self.sup.ask("BEGIN;")
        self.expire(late)
        other = self.connect("tb_supervisor")
        other.send_rows(claim_sql([{"run": waits, "session": s}]))
        wait_for(lambda: self.one("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")["n"] > 0)
        self.sup.ask("COMMIT;")
        self.assertEqual(json.loads(other.result()), [])
        self.assert_blocked(s, late, "deadline")

    def test_a_failure_and_a_resume(self):
        """The lane was paused by a person: the resume waits, and ends both."""
        self.agent_policy("block")
        s = self.session()
        late = self.queued(s, deadline="2020-01-01T00:00:00Z")
        self.pause(s, True)
        self.sup.ask("BEGIN;")
        self.expire(late)
        other = self.connect("tb_supervisor")
        other.send_rows(f"SELECT tb.pause('lane', 1, '{s}', false, 'ann') AS changed")
        wait_for(lambda: self.one("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")["n"] > 0)
        self.sup.ask("COMMIT;")
        self.assertEqual(json.loads(other.result()), [{"changed": True}])
        self.assert_free(s)

    def test_a_deleted_session_is_not_paused(self):
        self.agent_policy("block")
        s = self.session()
        first = self.running(s)
        self.close_lane(s)
        self.failed(first)
        self.assert_free(s)


class Races(WithDatabase):
    """Two sessions on one lane: its row lock decides, and each order leaves a whole."""
    ROUNDS = 120

    def waiting_for_locks(self):
        return self.root.rows("SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0]["n"]

    def ordered(self, session, first, second):
        """Both statements wait for the lane, first before second; then the lane is let go. Their rows."""
        self.root.ask(f"BEGIN; SELECT 1 FROM tb.lanes WHERE session_id = '{session}' FOR UPDATE;")
        for n, (connection, sql) in enumerate((first, second), 1):
            connection.send_rows(sql)
            wait_for(lambda n=n: self.waiting_for_locks() == n, every=0.001)
        self.root.ask("COMMIT;")
        return [json.loads(connection.result()) for connection, _ in (first, second)]

    def free(self, one, other):
        """Both at once, in either order of sending."""
        pair = [one, other] if random.random() < 0.5 else [other, one]
        for connection, sql in pair:
            connection.send_rows(sql)
        rows = {id(sql): json.loads(connection.result()) for connection, sql in pair}
        return [rows[id(sql)] for _, sql in (one, other)]

    def both_ways(self, make, check):
        """make() -> (session, statement a, statement b); check(a's rows, b's rows) -> "a" or "b": who came first."""
        for order in (0, 1):
            session, a, b = make()
            rows = self.ordered(session, *([a, b] if order == 0 else [b, a]))
            self.assertEqual(check(*(rows if order == 0 else rows[::-1])), "ab"[order])
        seen = set()
        for _ in range(self.ROUNDS):
            _, a, b = make()
            seen.add(check(*self.free(a, b)))
        self.assertLessEqual(seen, {"a", "b"})

    def test_a_take_and_a_steer(self):
        def make():
            s = self.session()
            self.active, self.steer = self.running(s), self.item(s, "steer", mode="steer")
            return s, (self.worker, journal_sql([{**self.active, "messages": [said("x")], "take": 1}])), (self.sup, enqueue_sql([self.steer]))

        def check(journal, enqueue):
            self.assertEqual((journal[0]["outcome"], enqueue[0]["outcome"]), ("ok", "accepted"))
            run = self.steer["run"]
            if journal[0]["taken"]:
                self.assertEqual([t["run"] for t in journal[0]["taken"]], [run])
                self.check_superseded(run, self.active["run"], 3)
                self.assertEqual([m["run_id"] for m in self.messages(self.active["session"])][2:], [run])
                return "b"
            self.assertEqual(self.live(run)["state"], "queued")
            self.assertIsNone(self.archived(run))
            self.assertEqual(len(self.messages(self.active["session"])), 2)
            return "a"
        self.both_ways(make, check)

    def test_an_end_and_a_steer(self):
        """Whoever comes first: the run ends, and the steer is a run of its own."""
        def make():
            s = self.session()
            self.active, self.steer = self.running(s), self.item(s, "steer", mode="steer")
            end = {**self.active, "messages": [said("x")], "events": [event(2, phase="end")], "end": [ended()]}
            return s, (self.worker, journal_sql([end])), (self.sup, enqueue_sql([self.steer]))

        def check(journal, enqueue):
            self.assertEqual((journal[0]["outcome"], enqueue[0]["outcome"]), ("ok", "accepted"))
            self.assertIsNone(self.archived(self.steer["run"]))
            self.assertEqual(self.live(self.steer["run"])["state"], "queued")
            self.assertEqual(self.archived(self.active["run"])["result"], "completed")
            (row,) = self.claim({"run": self.steer["run"], "session": self.steer["session"]})
            self.assertEqual((row["head_seq"], row["appended"]), (3, 1))
            return turns.pop()
        turns = ["a"] * self.ROUNDS + ["b", "a"]
        self.both_ways(make, check)

    def test_a_cancel_and_a_claim(self):
        def make():
            s = self.session()
            self.run_ = self.queued(s)
            cancel = f"SELECT * FROM tb.cancel('{{1}}', '{{{self.run_}}}', '{{cancelled}}', '{{ann}}')"
            return s, (self.other, cancel), (self.sup, claim_sql([{"run": self.run_, "session": s}]))

        def check(cancel, claim):
            if claim:
                self.assertEqual(cancel[0]["outcome"], "requested")
                self.assertEqual((self.live(self.run_)["state"], self.live(self.run_)["cancel_requested"]), ("running", True))
                return "b"
            self.assertEqual(cancel[0]["outcome"], "cancelled")
            self.assertEqual(self.archived(self.run_)["result"], "cancelled")
            return "a"
        self.other = self.connect("tb_supervisor")
        self.both_ways(make, check)

    def test_a_claim_that_saw_its_run_before_the_cancel(self):
        """The claim waits for the lane with an old view of the queue; nothing of it may stay."""
        s = self.session()
        run = self.queued(s)
        before = self.lane(s)
        other = self.connect("tb_supervisor")
        cancel = f"SELECT * FROM tb.cancel('{{1}}', '{{{run}}}', '{{cancelled}}', '{{ann}}')"
        rows = self.ordered(s, (other, cancel), (self.sup, claim_sql([{"run": run, "session": s}])))
        self.assertEqual((rows[0][0]["outcome"], rows[1]), ("cancelled", []))
        self.assertEqual(self.lane(s), before)

    def test_an_interrupt_and_an_end(self):
        def make():
            s = self.session()
            self.active, self.new = self.running(s), self.item(s, mode="interrupt")
            end = {**self.active, "messages": [said("x")], "events": [event(2, phase="end")], "end": [ended()]}
            return s, (self.worker, journal_sql([end])), (self.sup, enqueue_sql([self.new]))

        def check(journal, enqueue):
            self.assertEqual((journal[0]["outcome"], enqueue[0]["outcome"]), ("ok", "accepted"))
            self.assertFalse(self.live(self.new["run"])["cancel_requested"])
            return "a" if enqueue[0]["lane_pos"] == enqueue[0]["lane_seq"] - 1 and enqueue[0]["lane_pos"] == 1 else "b"
        self.both_ways(make, check)

    def test_batches_over_the_same_lanes_never_wait_for_each_other(self):
        sessions = [self.session() for _ in range(12)]
        log = os.path.join(self.cluster.dir, "pg.log")
        ids, guard, failures = [], threading.Lock(), []
        rounds = 60

        def known(n):
            with guard:
                return random.sample(ids, min(n, len(ids)))

        def enqueues(c):
            batch = [self.item(s, mode=random.choice(("followup", "steer", "collect", "followup")), hash=b"1",
                               key=random.choice((None, f"k{random.randrange(400)}")), worker=random.choice((None, None, 3)))
                     for s in random.choices(sessions, k=16)]
            if random.random() < 0.5:
                for item in batch[:5]:
                    item["mode"] = "interrupt"
                for item, victim in zip(batch[5:], known(6)):
                    item.update(victim=victim[0], session=victim[1], fold=random.random() < 0.5)
            for item, row in zip(batch, c.rows(enqueue_sql(batch))):
                if row["outcome"] == "accepted":
                    with guard:
                        ids.append((item["run"], item["session"]))

        def cancels(c):
            runs = known(8)
            c.rows("SELECT * FROM tb.cancel(" + arrays([{"t": 1, "r": r, "x": "y"} for r, _ in runs],
                   (("t", "bigint"), ("r", "uuid"), ("x", "text"), ("x", "text"))) + ")")

        def claims(c):
            by_lane = {s: r for r, s in known(20)}
            rows = c.rows(claim_sql([{"run": r, "session": s} for s, r in by_lane.items()]))
            sessions_of = {r: s for s, r in by_lane.items()}
            self.worker_of(c).rows(journal_sql([{"run": r["run_id"], "session": sessions_of[r["run_id"]], "fence": r["fence"],
                                                 "commit": r["commit_no"], "messages": [said("x")], "take": 7} for r in rows]))

        def work(what):
            try:
                c = self.connect("tb_supervisor")
                for _ in range(rounds):
                    what(c)
            except Exception as e:
                failures.append(e)
        threads = [threading.Thread(target=work, args=(w,)) for w in (enqueues, enqueues, cancels, claims, claims, cancels)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        with open(log) as f:
            self.assertNotIn("deadlock", f.read())
        self.assertGreater(self.root.rows("SELECT count(*) AS n FROM tb.agent_runs WHERE result = 'superseded'")[0]["n"], 0)
        # Claims here look at no lane queue, so a lane may run several at once, in any order: end them before the invariants are asked.
        self.root.ask("TRUNCATE tb.agent_run_queue, tb.run_inputs, tb.agent_runs, tb.run_events, tb.session_messages, tb.lanes;"
                      "DELETE FROM tb.agent_sessions;")

    def worker_of(self, c):
        with self.guard:
            if c not in self.workers:
                self.workers[c] = self.connect("tb_worker")
            return self.workers[c]

    def setUp(self):
        self.workers, self.guard = {}, threading.Lock()


class Rights(WithDatabase):
    OWN = {"tb_supervisor": {"enqueue", "claim", "cancel", "expire", "bury", "redrive", "pause", "audit"}, "tb_worker": {"journal", "history_start"},
           "tb_edge": {"open_sessions"}}
    INTERNAL = {"archive_waiting", "displace", "displaced", "take_waiting", "bullet", "lock_lanes", "lock_runs"}
    ROLES = ("tb_supervisor", "tb_worker", "tb_edge", "tb_search", "public")

    def test_the_edge_makes_sessions_by_their_function_alone(self):
        s = uuid7()
        for sql in (f"INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot) VALUES (1, '{s}', '{AGENT}', 'x', 1)",
                    f"INSERT INTO tb.lanes (tenant_id, session_id) VALUES (1, '{s}')"):
            with self.assertRaisesRegex(Refused, "42501"):
                self.edge.ask(f"BEGIN; SELECT set_config('app.tenant_id', '1', true); {sql}; COMMIT;")
            self.edge.ask("ROLLBACK;")

    def test_each_function_is_its_roles_alone(self):
        names = set.union(self.INTERNAL, *self.OWN.values())
        rows = self.root.rows("SELECT p.proname AS name, r.role, p.prosecdef AS definer, p.proconfig::text AS config,"
                              " has_function_privilege(r.role, p.oid, 'EXECUTE') AS may FROM pg_proc p,"
                              f" unnest({array(self.ROLES, 'text')}) r(role) WHERE p.pronamespace = 'tb'::regnamespace"
                              f" AND p.proname = ANY ({array(sorted(names), 'text')})")
        self.assertEqual({r["name"] for r in rows}, names)
        self.assertEqual(len(rows), len(names) * len(self.ROLES))  # no overload
        for r in rows:
            self.assertEqual(r["may"], r["name"] in self.OWN.get(r["role"], ()), f"{r['role']} {r['name']}")
            self.assertIn("search_path=pg_catalog, tb, pg_temp", r["config"])
            if r["name"] not in ("history_start", "bullet", "lock_lanes", "lock_runs"):
                self.assertTrue(r["definer"], r["name"])

    def test_no_function_is_everybodys(self):
        """By its own grants, not by default privileges, which the next database may not have."""
        self.assertEqual(self.root.rows("SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'tb'::regnamespace"
                                        " AND has_function_privilege('public', p.oid, 'EXECUTE')"), [])
        files = sorted(glob.glob(os.path.join(ROOT, "migrations", "00[12]*.sql")))
        for path in (f for f in files if os.path.basename(f) > "0010"):
            with open(path) as f:
                text = f.read()
            made = set(re.findall(r"^CREATE (?:OR REPLACE )?FUNCTION tb\.(\w+)", text, re.M))
            kept = {n.strip() for l in re.findall(r"^REVOKE ALL ON FUNCTION ([^;]+) FROM PUBLIC;", text, re.M) for n in l.split(",")}
            self.assertEqual(made - kept, set(), os.path.basename(path))

    def refused(self, session, sql):
        with self.assertRaisesRegex(Refused, "42501"):
            session.rows(sql)

    def test_calls_that_are_not_theirs(self):
        s = self.session()
        item, live = self.item(s), self.running(s)
        calls = {"tb_supervisor": (enqueue_sql([item]), claim_sql([{"run": live["run"], "session": s}]),
                                   f"SELECT * FROM tb.cancel('{{1}}', '{{{live['run']}}}', '{{x}}', '{{y}}')",
                                   f"SELECT * FROM tb.expire('{{1}}', '{{{live['run']}}}')",
                                   f"SELECT * FROM tb.bury('{{1}}', '{{{live['run']}}}', '{{{s}}}', 'poison', 'x')",
                                   f"SELECT * FROM tb.redrive(1, '{live['run']}', '{uuid7()}', 1, 'x')",
                                   "SELECT tb.pause('node', 0, NULL, true, 'x')", "SELECT tb.audit(1, 'a', 'b', 'c', '{}')",
                                   "SELECT * FROM tb.queue_pauses"),
                 "tb_worker": (journal_sql([live]),),
                 "tb_edge": (f"SELECT * FROM tb.open_sessions('{{1}}', '{{{AGENT}}}', '{{k}}', '{{{uuid7()}}}', '{{1}}', '{{NULL}}')",)}
        sessions = {"tb_supervisor": self.sup, "tb_worker": self.worker, "tb_edge": self.edge}
        before = self.live(live["run"])
        for owner, of in calls.items():
            for role, session in sessions.items():
                if role != owner:
                    for sql in of:
                        self.refused(session, sql)
        self.assertEqual(self.live(live["run"]), before)
        for sql in ("SELECT tb.archive_waiting(q, 'dropped', NULL, 'x', 'y', NULL) FROM tb.agent_run_queue q",
                    f"SELECT tb.displace(1, '{s}', '{live['run']}', true)", f"SELECT * FROM tb.take_waiting(1, '{s}', '{live['run']}', 7::smallint, 0)"):
            for session in sessions.values():
                self.refused(session, sql)
        for session in sessions.values():
            with self.assertRaisesRegex(Refused, "42501"):
                session.ask("INSERT INTO tb.queue_pauses VALUES ('node', 0, '00000000-0000-0000-0000-000000000000', 'x');")

    def test_a_capability_of_another_journals_nothing(self):
        item = self.running(self.session())
        (row,) = self.journal({**item, "cap": "guessed", "messages": [said("x")], "take": 7})
        self.assertEqual(row["outcome"], "stale")
