# SPDX-License-Identifier: Apache-2.0
"""Every command of the admin socket, at the real node."""
import json
import os
import socket
import unittest

from node import wait_for
from test_main_job import WithNode

NOBODY = "0192f3a0-0000-7000-8000-000000000001"
RUN = {"run", "tenant", "session", "agent", "state", "mode", "priority", "position", "ageMs", "worker", "crashes"}


class WithAdmin(WithNode):
    model = "fake"
    workers = 2

    def ask(self, command, **args):
        answer = self.node.admin(command, args)
        self.assertNotIn("code", answer, f"{command} {args}: {answer}")  # an archived run has an "error" too
        return answer

    def refused(self, code, command, **args):
        """The sentence."""
        answer = self.node.admin(command, args)
        self.assertEqual(answer.get("code"), code, f"{command} {args}: {answer}")
        self.assertTrue(answer["error"])
        return answer["error"]

    def tenant(self):
        return int(self.node.sql("SELECT tenant_id FROM tb.tenants WHERE tenant_id > 0"))

    def lane(self, session):
        return {"agent": "main", "session": session}

    def enqueue(self, message, session):
        """As node.enqueue, in order: nothing steers into a running run."""
        status, _, answer = self.node.post("/v1/agents/main/runs", {"message": message, "sessionKey": session, "queueMode": "followup"})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def hold(self, session):
        """A run that ends only by its cancel, running."""
        before = self.node.model_stats()["requests"]
        run = self.enqueue("[hang] for ever", session)
        wait_for(lambda: self.node.model_stats()["requests"] > before)
        return run

    def cancel(self, run):
        self.assertEqual(self.ask("run.cancel", run=run)["status"], "cancelling")
        wait_for(lambda: self.node.sql(f"SELECT result FROM tb.agent_runs WHERE run_id = '{run}'") == "cancelled", 20)

    def workers_ready(self, count):
        def ready():
            states = [w["state"] for w in self.ask("worker.list")["workers"]]
            return states.count("ready") == count and "starting" not in states and "draining" not in states
        wait_for(ready, 90, 0.2)


class Looking(WithAdmin):
    def test_status(self):
        self.node.wait(self.enqueue("hello", "st"))
        s = self.node.admin("status")
        self.assertEqual(s["state"], "serving")
        self.assertTrue(s["database"])
        for key in ("lanes", "waiting", "running", "delayed", "accepted", "ended", "retrying", "folded", "claiming", "tenants",
                    "queueBytes", "uptimeMs", "pid"):
            self.assertIsInstance(s[key], int, key)
        self.assertFalse(s["paused"] or s["held"])
        self.assertGreaterEqual(s["waits"]["p99Ms"], s["waits"]["p50Ms"])
        self.assertEqual(sorted(c["kind"] for c in s["children"] if c["ordinal"] < 62), ["edge", "worker", "worker"])
        wait_for(lambda: self.node.admin("status")["rates"]["endedPerS"] > 0)

    def test_queue_stats(self):
        run = self.hold("qs")
        s = self.ask("queue.stats")
        self.assertEqual((s["running"], s["waiting"], s["lanes"], s["pauses"]), (1, 0, 1, []))
        self.assertEqual([t["tenant"] for t in s["tenants"]], [self.tenant()])
        self.assertEqual(s["tenants"][0]["running"], 1)
        self.assertTrue(s["journal"]["up"])
        self.assertIsInstance(s["journal"]["lastBatchMs"], int)
        waits = [self.enqueue("after it", "qs"), self.enqueue("after both", "qs")]
        self.assertEqual(self.node.admin("status")["waits"]["reasons"], {"lane_busy": 2})
        for r in waits:
            self.assertEqual(self.ask("run.cancel", run=r)["status"], "cancelled")
        self.cancel(run)

    def test_what_queue_stats_leaves_out_is_said(self):
        names = [f"cut-{i}" for i in range(3)]
        for name in names:
            self.enqueue("hello", name)
            self.ask("lane.pause", session=name, agent="main", tenant=self.tenant())
        cut, whole = self.ask("queue.stats", limit=2), self.ask("queue.stats", limit=3)
        for name in names:
            self.ask("lane.resume", session=name, agent="main", tenant=self.tenant())
        self.assertEqual((len(cut["pauses"]), cut["pauseCount"], cut.get("pausesMore"), cut.get("tenantsMore")), (2, 3, True, None))
        self.assertEqual((len(whole["pauses"]), whole.get("pausesMore")), (3, None))

    def test_lanes_and_runs(self):
        first = self.hold("ln")
        second, third = self.enqueue("second", "ln"), self.enqueue("third", "ln")
        session = self.node.sql("SELECT session_id FROM tb.agent_sessions WHERE session_key = 'ln'")
        lanes = self.ask("lane.list")
        self.assertEqual(lanes["total"], 1)
        lane = lanes["lanes"][0]
        self.assertEqual({k: lane[k] for k in ("tenant", "session", "active", "waiting", "delayed", "folded", "paused", "head")},
                         {"tenant": self.tenant(), "session": session, "active": first, "waiting": 2, "delayed": 0, "folded": 0,
                          "paused": False, "head": second})
        for only, count in (("busy", 1), ("waiting", 1), ("paused", 0)):
            self.assertEqual(self.ask("lane.list", only=only, agent="main")["total"], count, only)
        for name in (self.lane("ln"), {"session": session}, {"session": session, "tenant": self.tenant()}):
            shown = self.ask("lane.show", **name)
            self.assertEqual(shown["sessionKey"], "ln")
            self.assertEqual([r["run"] for r in shown["runs"]], [first, second, third])
            self.assertEqual([r["state"] for r in shown["runs"]], ["running", "queued", "queued"])
        runs = self.ask("run.list")
        self.assertEqual(runs["total"], 3)
        self.assertLessEqual(RUN, set(runs["runs"][0]))
        self.assertEqual([r["run"] for r in self.ask("run.list", state="running")["runs"]], [first])
        self.assertEqual(self.ask("run.list", state="queued", limit=1)["total"], 2)
        shown = self.ask("run.show", run=second)
        self.assertEqual((shown["state"], shown["mode"], shown["session"]), ("queued", "followup", session))
        why = self.ask("run.why", run=second)
        self.assertEqual((why["why"], why["other"]), ("lane_busy", first))
        self.assertEqual(self.ask("run.why", run=first)["why"], "runs")
        self.assertEqual(self.ask("lane.clear", **self.lane("ln")), {"cancelled": 2})
        self.assertEqual(self.ask("run.list")["total"], 1)
        self.cancel(first)
        for run in (second, third):
            self.assertEqual(self.run_row(run)["result"], "cancelled")
        self.assertEqual(self.ask("lane.show", session=session)["runs"], [])

    def test_an_archived_run(self):
        run = self.enqueue("hello", "ar")
        self.node.wait(run)
        shown = self.ask("run.show", run=run)
        self.assertEqual((shown["state"], shown["result"], shown["attempts"], shown["crashes"]), ("ended", "completed", 1, 0))
        self.assertTrue(shown["acceptedAt"] <= shown["startedAt"] <= shown["endedAt"])
        self.assertEqual(self.ask("run.why", run=run)["why"], "ended")
        self.assertEqual(self.node.admin("run.cancel", {"run": run})["result"], "completed")
        self.refused("conflict", "run.cancel", run=run)
        again = self.ask("run.retry", run=run)["run"]
        self.node.wait(again)
        row = self.run_row(again)
        self.assertEqual((row["result"], row["retry_of"]), ("completed", run))

    def test_what_is_not_there(self):
        self.refused("not_found", "run.show", run=NOBODY)
        self.refused("not_found", "run.why", run=NOBODY)
        self.refused("not_found", "run.cancel", run=NOBODY)
        self.refused("not_found", "run.retry", run=NOBODY)
        self.refused("not_found", "dead.show", run=NOBODY)
        self.refused("not_found", "dead.redrive", run=NOBODY)
        self.assertIn("nowhere", self.refused("not_found", "lane.list", tenant="nowhere"))
        self.assertIn("nobody", self.refused("not_found", "lane.list", agent="nobody"))
        self.assertIn("no-session", self.refused("not_found", "lane.show", agent="main", session="no-session"))
        self.refused("not_found", "lane.pause", session=NOBODY)
        self.refused("not_found", "queue.pause", scope="agent", agent=NOBODY)
        self.refused("not_found", "worker.drain", worker=61)
        self.refused("not_found", "worker.pin", slot=1, worker=61)

    def test_wrong_requests(self):
        self.assertIn("cmd", self.refused("bad_request", "nonsense"))
        self.assertIn("limit", self.refused("bad_request", "lane.list", limit=0))
        self.assertIn("colour", self.refused("bad_request", "run.list", colour="red"))
        self.assertIn("run", self.refused("bad_request", "run.show"))
        self.assertIn("agent", self.refused("bad_request", "lane.show", session="a key"))
        self.assertIn("n:", self.refused("bad_request", "worker.scale", n=63))
        self.assertIn("tenant", self.refused("bad_request", "queue.pause", scope="tenant"))

    def test_one_connection_keeps_its_order(self):
        """The second request needs the database, the others do not."""
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.node.state, "admin.sock"))
        for request in ({"cmd": "status"}, {"cmd": "dead.list"}, {"cmd": "worker.list"}, {"cmd": "run.list", "args": {"tenant": 1}}):
            s.sendall(json.dumps(request).encode() + b"\n")
        s.shutdown(socket.SHUT_WR)
        with s.makefile() as lines:
            answers = [json.loads(line) for line in lines]
        s.close()
        self.assertEqual([sorted(a)[0] for a in answers], ["accepted", "dead", "target", "runs"])

    def test_a_client_that_leaves_at_once(self):
        for _ in range(20):
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(self.node.state, "admin.sock"))
            s.sendall(b'{"cmd":"dead.list"}\n{"cmd":"lane.list","args":{"agent":"main"}}\n')
            s.close()
        self.assertEqual(self.ask("dead.list")["dead"], [])


class Pausing(WithAdmin):
    def paused(self, why, pause, resume):
        run = None
        self.assertTrue(pause()["changed"])
        try:
            self.assertFalse(pause()["changed"])
            run = self.enqueue("patience", "ps")
            self.assertEqual(self.ask("run.why", run=run)["why"], why)
            self.assertEqual(len(self.ask("queue.stats")["pauses"]), 1)
        finally:
            self.assertTrue(resume()["changed"])
        self.assertFalse(resume()["changed"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.ask("queue.stats")["pauses"], [])

    def scope(self, verb, **args):
        return lambda: self.ask(f"queue.{verb}", **args)

    def test_scopes(self):
        self.node.wait(self.enqueue("hello", "ps"))
        slug = self.node.sql("SELECT slug FROM tb.tenants WHERE tenant_id > 0")
        for why, args in (("node_paused", {"scope": "node"}), ("tenant_paused", {"scope": "tenant", "tenant": slug}),
                          ("agent_paused", {"scope": "agent", "agent": "main"})):
            self.paused(why, self.scope("pause", **args), self.scope("resume", **args))
        self.paused("lane_paused", lambda: self.ask("lane.pause", **self.lane("ps")), lambda: self.ask("lane.resume", **self.lane("ps")))

    def test_a_pause_outlives_the_node(self):
        self.node.wait(self.enqueue("hello", "po"))
        self.ask("lane.pause", **self.lane("po"))
        run = self.enqueue("after the restart", "po")
        self.assertEqual(self.node.stop(), 0)
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.ask("run.why", run=run)["why"], "lane_paused")
        self.assertTrue(self.ask("lane.show", **self.lane("po"))["paused"])
        self.ask("lane.resume", **self.lane("po"))
        self.assertEqual(self.node.wait(run)["status"], "ok")


class Workers(WithAdmin):
    def test_scale(self):
        self.assertEqual(self.ask("worker.scale", n=3), {"from": 2, "to": 3})
        self.workers_ready(3)
        listed = self.ask("worker.list")
        self.assertEqual(listed["target"], 3)
        self.assertEqual(sum(w["slots"] for w in listed["workers"]), 4096)
        self.assertEqual(self.ask("worker.scale", n=2), {"from": 3, "to": 2})
        self.workers_ready(2)

    def test_drain_and_return(self):
        self.ask("worker.drain", worker=1)
        self.workers_ready(1)
        self.assertEqual(self.node.wait(self.enqueue("hello", "wd"))["status"], "ok")
        self.refused("conflict", "worker.drain", worker=0)
        self.ask("worker.scale", n=2)
        self.workers_ready(2)

    def test_restart(self):
        pids = lambda: [w["pid"] for w in self.ask("worker.list")["workers"] if w["state"] == "ready"]
        before = pids()
        self.ask("worker.restart", worker=0)
        wait_for(lambda: len(pids()) == 2 and before[0] not in pids(), 90, 0.2)
        self.assertIn(before[1], pids())
        before = pids()
        self.ask("worker.restart", all=True)
        wait_for(lambda: len(pids()) == 2 and not set(before) & set(pids()), 180, 0.2)
        self.refused("bad_request", "worker.restart")

    def test_pin(self):
        self.node.wait(self.enqueue("hello", "pin"))
        slot = int(self.node.sql("SELECT slot FROM tb.agent_sessions WHERE session_key = 'pin'"))
        for worker in (0, 1):
            self.assertEqual(self.ask("worker.pin", worker=worker, **self.lane("pin")), {"slot": slot, "worker": worker})
            run = self.hold("pin")
            self.assertEqual(self.ask("run.show", run=run)["worker"], worker)
            self.cancel(run)
        self.assertEqual([w["pinned"] for w in self.ask("worker.list")["workers"] if w["ordinal"] < 2], [0, 1])
        self.assertEqual(self.ask("worker.pin", slot=slot, worker=None), {"slot": slot, "worker": None})
        self.assertEqual(sum(w["pinned"] for w in self.ask("worker.list")["workers"]), 0)


class Dead(WithAdmin):
    seconds = 70  # until the quarantine worker leaves

    def bury(self, session):
        """A run that took its worker down three times."""
        run = self.hold(session)
        def worker_of_it():
            shown = self.ask("run.show", run=run)
            if shown["state"] != "running":
                return None
            return next((w["pid"] for w in self.ask("worker.list")["workers"] if w["ordinal"] == shown["worker"] and w["pid"] > 0), None)
        for crashes in range(1, 4):
            os.kill(wait_for(worker_of_it, 60, 0.1), 9)
            if crashes < 3:
                wait_for(lambda: self.ask("run.show", run=run)["crashes"] == crashes and worker_of_it(), 60, 0.1)
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.dead_runs WHERE run_id = '{run}'") == "1", 60)
        return run

    def test_dead_runs(self):
        run = self.bury("dd")
        dead = self.ask("dead.list", limit=5)["dead"]
        self.assertEqual([(d["run"], d["tenant"], d["reason"], d["redrivenAs"]) for d in dead], [(run, self.tenant(), "poison", None)])
        shown = self.ask("dead.show", run=run)
        self.assertEqual(shown["input"]["blocks"][0]["text"], "[hang] for ever")
        self.assertEqual(self.ask("dead.redrive", all=True, reason="deadline"), {"redriven": [], "skipped": []})
        done = self.ask("dead.redrive", all=True, reason="poison", limit=10)
        self.assertEqual([d["run"] for d in done["redriven"]], [run])
        again = done["redriven"][0]["as"]
        self.assertEqual(self.ask("dead.show", run=run)["redrivenAs"], again)
        self.assertIn("redriven", self.refused("conflict", "dead.redrive", run=run))
        self.assertEqual(self.ask("dead.redrive", all=True), {"redriven": [], "skipped": []})
        wait_for(lambda: self.ask("run.show", run=again)["state"] == "running")
        self.cancel(again)
        self.workers_ready(2)


class Changes(WithAdmin):
    def test_invalidate(self):
        secret, id = "s" * 43, "0192f3a0-0000-7000-8000-00000000000b"
        self.node.sql("INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES"
                      f" ({self.tenant()}, '{id}', sha256('{secret}'), '{{read}}')")
        token = f"tb1.{self.tenant()}.{id}.{secret}"
        known = lambda: self.node.get(f"/v1/runs/{NOBODY}", token=token)[0]
        self.assertEqual(known(), 404)
        self.node.sql(f"UPDATE tb.api_tokens SET revoked_at = now() WHERE token_id = '{id}'")
        self.assertEqual(self.ask("invalidate", tenant=self.tenant(), kind="token", id=id), {})
        wait_for(lambda: known() == 401, 2)
        self.assertIn("id", self.refused("bad_request", "invalidate", tenant=1, kind="token"))
        self.assertIn("kind", self.refused("bad_request", "invalidate", tenant=1, kind="weather", id=id))

    def test_changes_are_audited(self):
        run = self.hold("au")
        self.cancel(run)
        self.ask("worker.scale", n=2)
        row = {"actor": f"uid:{os.getuid()}", "action": "run.cancel", "object": f"run:{run}"}
        where = " AND ".join(f"{k} = '{v}'" for k, v in row.items())
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.audit_log WHERE tenant_id = {self.tenant()} AND {where}") == "1")
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.audit_log WHERE action = 'worker.scale' AND tenant_id = 0") != "0")
        self.assertIn(f'action=run.cancel tenant={self.tenant()} object="run:{run}"', self.node.log())

    def test_without_the_database(self):
        """Looking at the queue goes on; what needs Postgres says so."""
        self.node.wait(self.enqueue("hello", "db"))
        self.node.cluster.stop("immediate")
        try:
            wait_for(lambda: not self.node.admin("status")["database"], 20)
            self.assertEqual(self.ask("lane.list")["total"], 0)
            self.refused("unavailable", "dead.list")
            self.refused("unavailable", "lane.show", **self.lane("db"))
        finally:
            self.node.cluster.start()
        wait_for(lambda: "error" not in self.node.admin("dead.list"), 30, 0.2)
        self.node.wait_ready()


if __name__ == "__main__":
    unittest.main()
