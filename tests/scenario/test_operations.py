# SPDX-License-Identifier: Apache-2.0
"""Operation by HTTP: an ended run's message again, dead letters, what a run asks answered by the run's name, queue and workers."""
import json
import uuid

from node import wait_for
from test_approvals import WithApprovals
from test_queue_modes import STORE

together = True


class WithStrangers(WithApprovals):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not hasattr(cls.node, "stranger"):
            made = cls.node.ctl("tenant", "create", "stranger")
            assert made.returncode == 0, made.stderr
            made = cls.node.ctl("token", "create", "--tenant", "stranger", "--scopes", "run,read,write,admin", "-o", "json")
            assert made.returncode == 0, made.stderr
            cls.node.stranger = json.loads(made.stdout)["token"]

    def token(self, *args):
        made = self.node.ctl("token", "create", *args, "-o", "json")
        self.assertEqual(made.returncode, 0, made.stderr)
        return json.loads(made.stdout)["token"]

    def failed(self, session=None, **options):
        run = self.post(f"[status 400 1] second time lucky {uuid.uuid4()}", session or f"op-{uuid.uuid4()}", **options)
        self.assertEqual(self.node.wait(run)["status"], "error")
        return run

    def refused(self, status, method, path, body=None, **kw):
        got, _, answer = self.node.request(method, path, body, **kw)
        self.assertEqual(got, status, answer)
        return answer["error"]


class Retries(WithStrangers):
    def retry(self, run, key=None, **kw):
        return self.node.post(f"/v1/runs/{run}/retry", headers={"Idempotency-Key": key} if key else None, **kw)

    def test_a_failed_run_again(self):
        run = self.failed()
        status, head, again = self.retry(run)
        self.assertEqual((status, again["retryOf"], again["status"]), (202, run, "queued"))
        self.assertEqual((head["location"], head["x-run-id"]), (f"/v1/runs/{again['runId']}", again["runId"]))
        self.assertEqual(self.node.wait(again["runId"])["status"], "ok")
        self.assertEqual(self.ended(again["runId"])["retry_of"], run)
        self.assertIn(again["runId"], self.refused(409, "POST", f"/v1/runs/{run}/retry")["message"])
        row, = self.node.rows(f"SELECT actor, action FROM tb.audit_log WHERE object = 'run:{run}' ORDER BY at LIMIT 1")
        self.assertEqual((row["actor"].split(":")[0], row["action"]), ("token", "run.retry"))

    def test_by_a_key(self):
        run, other, key = self.failed(), self.failed(), f"k-{uuid.uuid4()}"
        status, head, first = self.retry(run, key)
        self.assertEqual((status, "idempotent-replayed" in head), (202, False))
        status, head, again = self.retry(run, key)
        self.assertEqual((status, again["runId"], head["idempotent-replayed"]), (202, first["runId"], "true"))
        self.assertEqual(self.refused(422, "POST", f"/v1/runs/{other}/retry", headers={"Idempotency-Key": key})["code"], "idempotency_mismatch")
        self.refused(409, "POST", f"/v1/runs/{run}/retry", headers={"Idempotency-Key": key + "x"})
        self.assertEqual(self.retry(other, key + "x")[0], 202)  # what was refused has not used the key up
        self.assertEqual(self.node.wait(first["runId"])["status"], "ok")
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE retry_of = '{run}'"), "1")

    def test_what_is_not_retried(self):
        run = self.post("fine", f"op-{uuid.uuid4()}")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertIn("completed", self.refused(409, "POST", f"/v1/runs/{run}/retry")["message"])
        waits = self.asked("[delay 20000] x", f"op-{uuid.uuid4()}")
        self.assertIn("not ended", self.refused(409, "POST", f"/v1/runs/{waits}/retry")["message"])
        self.cancel(waits)
        failed = self.failed()
        self.refused(404, "POST", f"/v1/runs/{failed}/retry", token=self.node.stranger)
        self.refused(404, "POST", f"/v1/runs/{uuid.uuid4()}/retry")
        self.refused(404, "POST", "/v1/runs/x/retry")
        self.assertEqual(self.refused(400, "POST", f"/v1/runs/{failed}/retry", {"why": 1})["param"], "why")
        self.assertEqual(self.refused(400, "POST", f"/v1/runs/{failed}/retry", headers={"Idempotency-Key": "a b"})["param"], "Idempotency-Key")


class DeadLetters(WithStrangers):
    def dead(self, reason="poison"):
        """A run that died, as a worker's third death leaves it."""
        run = self.failed()
        self.node.sql(f"UPDATE tb.agent_runs SET result = 'dead', error_code = '{reason}' WHERE run_id = '{run}';"
                      " INSERT INTO tb.dead_runs (tenant_id, run_id, agent_id, session_id, reason, error, input) SELECT tenant_id, run_id, agent_id,"
                      f" session_id, '{reason}', 'it took its worker down', (SELECT content FROM tb.session_messages m WHERE m.run_id = r.run_id AND"
                      f" m.role = 'user') FROM tb.agent_runs r WHERE run_id = '{run}'")
        return run

    def listed(self, query=""):
        status, _, page = self.node.get("/v1/dead-letters" + query)
        self.assertEqual(status, 200, page)
        return page

    def test_list_and_show(self):
        runs = [self.dead("poison" if i else "deadline") for i in range(3)]
        page = self.listed("?limit=2")
        self.assertEqual([d["runId"] for d in page["deadLetters"]], runs[:0:-1])
        page = self.listed(f"?limit=2&before={page['next']}")
        self.assertEqual(page["deadLetters"][0]["runId"], runs[0])
        self.assertEqual(self.listed("?reason=deadline&limit=1")["deadLetters"][0]["runId"], runs[0])
        status, _, one = self.node.get(f"/v1/dead-letters/{runs[0]}")
        self.assertEqual((status, one["reason"], one["agent"]), (200, "deadline", "main"))
        self.assertTrue(one["input"]["blocks"][0]["text"].startswith("[status 400 1] second time lucky"))
        self.assertEqual(self.refused(400, "GET", "/v1/dead-letters?reason=x")["param"], "reason")
        self.assertEqual(self.node.get("/v1/dead-letters", token=self.node.stranger)[2], {"deadLetters": []})
        self.refused(404, "GET", f"/v1/dead-letters/{runs[0]}", token=self.node.stranger)

    def test_redrive(self):
        run = self.dead()
        self.refused(404, "POST", f"/v1/dead-letters/{run}/redrive", token=self.node.stranger)
        status, _, again = self.node.post(f"/v1/dead-letters/{run}/redrive")
        self.assertEqual((status, again["retryOf"]), (202, run))
        self.assertEqual(self.node.wait(again["runId"])["status"], "ok")
        self.assertEqual(self.node.get(f"/v1/dead-letters/{run}")[2]["redrivenAs"], again["runId"])
        self.refused(409, "POST", f"/v1/dead-letters/{run}/redrive")
        self.refused(404, "POST", f"/v1/dead-letters/{self.failed()}/redrive")

    def test_an_end_user_sees_and_changes_his_own(self):
        run, token = self.dead(), self.token("--tenant", "default", "--scopes", "run,read,write", "--user", "ada")
        self.assertEqual(self.node.get("/v1/dead-letters", token=token)[2], {"deadLetters": []})
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/redrive")):
            self.refused(404, method, f"/v1/dead-letters/{run}{path}", token=token)
        self.refused(404, "POST", f"/v1/runs/{run}/retry", token=token)
        own = self.node.post("/v1/agents/main/runs", {"message": f"[status 400 1] {uuid.uuid4()}", "sessionKey": f"op-{uuid.uuid4()}"}, token=token)
        self.assertEqual(own[0], 202, own)
        self.node.wait(own[2]["runId"])
        self.assertEqual(self.node.post(f"/v1/runs/{own[2]['runId']}/retry", token=token)[0], 202)

    def test_discard(self):
        run = self.dead()
        self.refused(404, "DELETE", f"/v1/dead-letters/{run}", token=self.node.stranger)
        self.assertEqual(self.node.request("DELETE", f"/v1/dead-letters/{run}")[0], 200)
        self.refused(404, "DELETE", f"/v1/dead-letters/{run}")
        self.refused(404, "GET", f"/v1/dead-letters/{run}")
        self.refused(404, "POST", f"/v1/dead-letters/{run}/redrive")
        self.assertNotIn(run, json.dumps(self.listed()))
        self.assertNotIn(run, json.dumps(self.node.admin("dead.list")))
        self.assertEqual(self.node.sql(f"SELECT action FROM tb.audit_log WHERE object = 'run:{run}'"), "dead.discard")


class Approvals(WithStrangers):
    def test_of_a_run(self):
        run, session, agent = self.waits()
        status, _, page = self.node.get(f"/v1/runs/{run}/approvals?state=pending")
        self.assertEqual((status, [a["runId"] for a in page["approvals"]]), (200, [run]))
        self.refused(404, "GET", f"/v1/runs/{run}/approvals", token=self.node.stranger)
        self.refused(404, "POST", f"/v1/runs/{run}/approve", {"decision": "approve"}, token=self.node.stranger)
        self.assertEqual(self.refused(400, "POST", f"/v1/runs/{run}/approve")["param"], None)
        self.assertEqual(self.refused(400, "POST", f"/v1/runs/{run}/approve", {"decision": "maybe"})["param"], "decision")
        status, _, answer = self.node.post(f"/v1/runs/{run}/approve", {"decision": "approve"})
        self.assertEqual((status, answer["state"], answer["id"]), (200, "once", page["approvals"][0]["id"]))
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.stored(session), "kept")
        self.refused(409, "POST", f"/v1/runs/{run}/approve", {"decision": "approve"})
        self.refused(404, "POST", f"/v1/runs/{uuid.uuid4()}/approve", {"decision": "approve"})

    def test_of_several(self):
        agent, session = self.asking(), f"two-{uuid.uuid4()}"
        run = self.post(STORE % ("one", f"{session}.md") + STORE % ("two", f"{session}.md") + "go", session, agent=agent)
        asked = sorted(wait_for(lambda: self.pending(run)), key=lambda a: a["call"])
        wait_for(lambda: self.state(run) == "waiting")
        error = self.refused(400, "POST", f"/v1/runs/{run}/approve", {"decision": "approve"})
        self.assertEqual((error["param"], "2 things" in error["message"]), ("approvalId", True))
        other, _, _ = self.waits()
        self.refused(404, "POST", f"/v1/runs/{other}/approve", {"decision": "approve", "approvalId": asked[0]["id"]})
        self.node.post(f"/v1/runs/{other}/cancel")
        self.assertEqual(self.node.post(f"/v1/runs/{run}/approve", {"decision": "deny", "message": "no", "approvalId": asked[0]["id"]})[0], 200)
        self.assertEqual(self.node.post(f"/v1/runs/{run}/approve", {"decision": "approve"})[0], 200)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual([s for _, s in self.calls(run)], ["error", "completed"])


class Figures(WithStrangers):
    def test_a_tenants_own(self):
        session = f"op-{uuid.uuid4()}"
        first = self.asked("[delay 20000] one", session)
        second = self.post("two", session)
        status, _, own = self.node.get("/v1/queue")
        self.assertEqual((status, own["tenant"], own["running"], own["waiting"], own["lanes"]), (200, 1, 1, 1, 1))
        self.assertNotIn("tenants", own)
        _, _, other = self.node.get("/v1/queue", token=self.node.stranger)
        self.assertEqual((other["running"], other["waiting"], other["lanes"], other["pauses"]), (0, 0, 0, []))
        status, _, workers = self.node.get("/v1/workers")
        self.assertEqual((status, workers["workers"]), (200, [{"ordinal": 0, "state": "ready", "runs": 1}]))
        self.assertEqual(self.node.get("/v1/workers", token=self.node.stranger)[2]["workers"][0]["runs"], 0)
        self.cancel(second)
        self.cancel(first)

    def test_the_platforms_token_sees_the_node(self):
        token = self.token("--platform", "--scopes", "admin")
        status, _, queue = self.node.get("/v1/queue", token=token)
        self.assertEqual((status, "journal" in queue, "tenants" in queue), (200, True, True))
        status, _, workers = self.node.get("/v1/workers", token=token)
        self.assertEqual((status, workers["target"], workers["workers"][0]["pid"] > 0), (200, 1, True))
        self.assertEqual(self.node.post(f"/v1/runs/{self.failed()}/retry", token=token)[0], 403)

    def test_who_may_ask(self):
        token = self.token("--tenant", "stranger", "--scopes", "run,read,write")
        for path in ("/v1/queue", "/v1/workers"):
            self.refused(403, "GET", path, token=token)
            self.assertEqual(self.refused(400, "GET", path + "?tenant=1")["param"], "tenant")
