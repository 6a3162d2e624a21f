# SPDX-License-Identifier: Apache-2.0
"""A process ends at one named instant of a run's way (common/fault.tbl), with nothing else going on. Needs a build with fault points."""
import http.client
import json
import os
import random
import signal
import sys
import time
from unittest.mock import ANY

from node import Node, ROOT, own, wait_for
from test_queue_modes import WithQueue

sys.path.insert(0, os.path.join(ROOT, "tests", "chaos"))
from faults import DIE, Faults  # noqa: E402

LONG = bool(os.environ.get("TB_LONG"))


class Instants(WithQueue):
    workers = 1

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=cls.workers, migrated=True)
        cls.faults = Faults(cls.node.dir)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.addClassCleanup(cls.faults.close)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def tearDown(self):
        self.faults.disarm()
        super().tearDown()

    def restart(self):
        wait_for(lambda: not self.node.all_pids(), 20)
        self.node.start_daemon()
        self.node.wait_ready()


class Words(Instants):
    def test_a_worker_that_dies_with_the_word_of_a_retry(self):
        """The pause stands in the database: the run waits for it, and is charged no crash."""
        point = "worker.retry.landed"
        self.faults.arm(point, DIE)
        run = self.post("[status 429 1][retry-after 9] again", "word-lost", model="openai/limited")
        wait_for(lambda: self.faults.hits(point) == 1)
        wait_for(lambda: "event=claim-early" in self.node.log())
        row = self.node.rows(f"SELECT state, attempt, crashes, fence, run_at FROM tb.agent_run_queue WHERE run_id = '{run}'")[0]
        self.assertEqual((row["state"], row["attempt"], row["crashes"], row["fence"]), ("retry_wait", 1, 0, 1))
        self.assertEqual(self.node.admin("run.why", {"run": run, "tenant": 1})["why"], "retry")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        answered_in_time = self.node.sql(f"SELECT min(at) >= '{row['run_at']}' FROM tb.usage_ledger WHERE run_id = '{run}'")
        self.assertEqual(answered_in_time, "t")
        end = self.ended(run)
        self.assertEqual((end["result"], end["attempts"], end["crashes"]), ("completed", 2, 0))

    def worker_pid(self):
        return wait_for(lambda: [c["pid"] for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["state"] == "ready"], 30)[0]

    def test_the_reason_of_a_cancel_outlives_who_heard_of_it(self):
        """The run's worker dies after the interrupt is durable and before it acted on it; or the whole node does."""
        for whole in (False, True):
            session = f"reason-{whole}"
            run = self.asked("[hang] first", session)
            pid = self.worker_pid()
            os.kill(pid, signal.SIGSTOP)
            now = self.post("now", session, "interrupt")
            if whole:
                self.node.daemon.kill()
                self.node.daemon.wait()
                os.kill(pid, signal.SIGKILL)
                self.restart()
            else:
                os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.node.wait_until_ok(now)["status"], "ok")
            row = self.ended(run)
            self.assertEqual((row["result"], row["error_code"], row["error"]),
                             ("cancelled", "interrupted", "a newer message interrupted this run"))


def parts(rows):
    """Roles, and texts of those that say something."""
    return [(r["role"], "".join(b.get("text", "") for b in r["content"]["blocks"])) for r in rows]


TALK = [("user", "first"), ("assistant", "echo: first"), ("user", "second"), ("assistant", "echo: second")]
SUMMARY = ("summary", ANY)
ENDS = ("worker.start", "worker.t5.send", "worker.t5.landed")
ACTS = ENDS + ("worker.act.send", "worker.act.landed")
SUPERVISOR = ("supervisor.t0.send", "supervisor.t0.landed", "supervisor.t1.send", "supervisor.t1.landed", "supervisor.done")
# job: its path, body, the instants of a worker that it passes, and what is appended
JOBS = {
    "append": ("append", {"message": "a note"}, ENDS, [("user", "a note")]),
    "compact": ("compact", {"keepRecentMessages": 2}, ACTS, [SUMMARY]),
    "restore": ("snapshots/1/restore", None, ENDS, []),
    "reset": ("reset", None, ENDS, [("reset", "")]),
    "fork": ("fork", None, ENDS, []),
    "import": ("import", None, ENDS, TALK),
    "archive": ("archive", None, ENDS, []),
    "delete": ("", None, ACTS, None),
    "regenerate": ("regenerate", None, ACTS, [("reset", ""), ("user", "second"), ("assistant", "echo: second")]),
    "edit": ("edit", {"message": "another"}, ACTS, [("reset", ""), ("user", "another"), ("assistant", "echo: another")]),
}


class Jobs(Instants):
    """What changes a transcript outside a turn is done once and whole, whoever dies at which instant of it."""
    workers = 3

    def test_each_job_at_an_instant_of_its_worker(self):
        seed = int(os.environ.get("TB_SEED", time.time_ns() % 1000000))
        print(f"TB_SEED={seed}", file=sys.stderr)
        dice = random.Random(seed)
        self.go_through([(job, point) for job in JOBS for point in (JOBS[job][2] if LONG else [dice.choice(JOBS[job][2])])])

    def test_jobs_at_an_instant_of_the_supervisor(self):
        self.go_through([(job, point) for job in JOBS for point in SUPERVISOR] if LONG else [("restore", "supervisor.t0.landed")])

    def go_through(self, cases):
        sessions = [f"{job}-{point}" for job, point in cases]
        for text in ("first", "second"):
            runs = [self.post(text, key) for (job, _), key in zip(cases, sessions) if job != "import"]
            for run in runs:
                self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        for (job, point), key in zip(cases, sessions):
            with self.subTest(job=job, point=point):
                self.strike(job, point, key)

    def open(self, key):
        return self.ask("POST", "/v1/agents/main/sessions", {"sessionKey": key})[1]["sessionId"]

    def ask(self, method, path, body=None, headers=None):
        """The first answer of a node that is there."""
        def answer():
            try:
                status, _, a = self.node.request(method, path, body, headers=headers, timeout=20)
            except (OSError, http.client.HTTPException):
                status = 503
            if status == 503 and self.node.daemon.poll() is not None:
                self.restart()
            return status != 503 and (status, a)
        return wait_for(answer, 60)

    def job(self, job, session, key, behind=0):
        path, body, _, _ = JOBS[job]
        if job == "fork":
            body = {"sessionKey": f"{key}-copy"}
        if job == "import":
            body = "\n".join(json.dumps({"seq": behind + i + 1, "role": role, "step": 0, "createdAt": "2026-11-30T13:55:19.548471Z", "content":
                                         {"blocks": [{"type": "text", "text": text}]}}) for i, (role, text) in enumerate(TALK))
        where = f"/v1/sessions/{session}" + (f"/{path}" if path else "")
        status, answer = self.ask("DELETE" if job == "delete" else "POST", where, body, {"Idempotency-Key": key})
        if status == 404 and job == "delete":  # it was accepted, and its answer is lost
            return self.node.sql(f"SELECT run_id FROM (SELECT run_id, session_id, mode FROM tb.agent_run_queue UNION SELECT run_id, session_id,"
                                 f" mode FROM tb.agent_runs) r WHERE session_id = '{session}' AND mode = 'delete'")
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def strike(self, job, point, key):
        session, before = self.open(key), [] if job == "import" else list(TALK)
        if job == "restore":
            self.assertEqual(self.node.wait(self.job("compact", session, f"{key}-first"))["status"], "ok")
            before.append(SUMMARY)
        hits, daemon = self.faults.hits(point), self.node.daemon
        if point.startswith("supervisor.t1"):  # it is claimed once its turn comes
            with self.node.model_stopped():
                self.asked_before(key)
                before += [("user", "third"), ("assistant", "echo: third")]
                self.faults.arm(point, DIE)
                run = self.job(job, session, key, 2)
        else:
            self.faults.arm(point, DIE)
            run = self.job(job, session, key)
        wait_for(lambda: self.faults.hits(point) > hits, 30)
        if point.startswith("supervisor"):
            daemon.wait(20)
            if self.node.daemon is daemon:
                self.restart()
        end = self.ended(run)
        self.assertEqual((end["result"], end["error"]), ("completed", None))
        self.assertLessEqual(end["crashes"], 1)
        self.check(job, session, key, before)

    def asked_before(self, key):
        run = self.post("third", key)
        wait_for(lambda: self.state(run) == "running")

    def check(self, job, session, key, before):
        rows = self.node.rows(f"SELECT seq, role, content FROM tb.session_messages WHERE session_id = '{session}' ORDER BY seq")
        made = self.node.rows(f"SELECT version, why FROM tb.agent_context_snapshots WHERE session_id = '{session}' ORDER BY version")
        if job == "delete":
            left = self.node.sql(f"SELECT count(*) FROM tb.agent_sessions WHERE session_id = '{session}'")
            self.assertEqual((rows, made, left), ([], [], "0"))
            return
        if job == "regenerate" and ("user", "third") in before:
            tail = [("reset", ""), ("user", "third"), ("assistant", "echo: third")]
        else:
            tail = JOBS[job][3]
        self.assertEqual(parts(rows), before + tail)
        self.assertEqual([r["seq"] for r in rows], list(range(1, len(rows) + 1)))
        self.assertEqual([s["why"] for s in made], {"compact": ["asked"], "restore": ["asked", "restored"]}.get(job, []))
        if job == "fork":
            copy = self.node.rows("SELECT m.role, m.content FROM tb.session_messages m JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                  f" WHERE s.session_key = '{key}-copy' ORDER BY seq")
            self.assertEqual(parts(copy), before)
        if job == "archive":
            self.assertEqual(self.node.sql(f"SELECT status FROM tb.agent_sessions WHERE session_id = '{session}'"), "archived")
        # and the lane goes on
        self.assertEqual(self.ask("GET", f"/v1/runs/{self.post_again('on', key)}/wait?timeoutMs=60000")[1]["status"], "ok")

    def post_again(self, message, key):
        body = {"message": message, "sessionKey": key, "queueMode": "followup"}
        return self.ask("POST", "/v1/agents/main/runs", body, {"Idempotency-Key": f"{key}-{message}"})[1]["runId"]
