# SPDX-License-Identifier: Apache-2.0
"""What becomes of the sessions that stateless calls leave, and of what a deletion left unfinished: at a start of the node, and then each minute."""
import os
import unittest
import uuid

from node import Node, wait_for

CHAT = "/v1/chat/completions"


class Expiry(unittest.TestCase):
    def setUp(self):
        self.node = Node(env={"TERABITS_STATELESS_DAYS": "30"}).start()
        self.addCleanup(self.node.close)

    def call(self, method, path, body=None, want=200, **headers):
        status, head, answer = self.node.request(method, path, body, headers=headers)
        self.assertEqual(status, want, answer)
        return head, answer

    def say(self, agent="main", **more):
        """The session of a call, and its run."""
        headers = more.pop("headers", {})
        head, _ = self.call("POST", CHAT, {"model": agent, "messages": [{"role": "user", "content": "hello"}], **more}, **headers)
        run = head["x-run-id"]
        return self.call("GET", f"/v1/runs/{run}")[1]["sessionId"], run

    def age(self, *sessions, days=31):
        self.node.sql(f"UPDATE tb.agent_sessions SET last_active_at = now() - interval '{days} days' WHERE session_id IN ({self.ids(sessions)})")

    @staticmethod
    def ids(sessions):
        return ", ".join(f"'{s}'" for s in sessions)

    def restart(self, **env):
        self.node.stop()
        self.node.env.update(env)
        self.node.start_daemon()
        self.node.wait_ready()

    def rows_of(self, session):
        """Everything that a session has."""
        return {t: int(self.node.sql(f"SELECT count(*) FROM tb.{t} WHERE session_id = '{session}'"))
                for t in ("agent_sessions", "lanes", "session_messages", "agent_runs", "agent_run_queue", "message_terms", "session_search", "dead_runs")}

    def is_gone(self, session):
        return not any(self.rows_of(session).values())

    def wait_gone(self, *sessions):
        for s in sessions:
            wait_for(lambda: self.is_gone(s))

    def there(self, session):
        return self.node.request("GET", f"/v1/sessions/{session}")[0] == 200

    def closed_by_hand(self):
        """What a supervisor does first; then it is as if it had died. How many it closed."""
        return int(self.node.sql("SELECT closed FROM tb.sessions_close(30, 'epoch', '00000000-0000-0000-0000-000000000000')"))

    def test_what_goes_and_what_stays(self):
        self.call("POST", "/v1/agents", {"name": "boxed", "workspace": "session", "profile": "full"}, want=201)
        old, run = self.say(headers={"Idempotency-Key": "once"})
        boxed, _ = self.say("boxed")
        key = self.call("GET", f"/v1/sessions/{boxed}")[1]["sessionKey"]
        self.assertRegex(key, "^openai-call:[0-9a-f-]{36}$")
        self.call("PUT", f"/v1/agents/boxed/files/content?path=a.txt&session={key}", b"kept with its session", want=201)
        agent = self.node.sql("SELECT agent_id FROM tb.agents WHERE name = 'boxed'")
        files = os.path.join(self.node.state, "workspaces", "1", f"{agent}.s", boxed)
        named, _ = self.say(user="somebody")
        like_one, _ = self.say(headers={"x-terabits-session-key": "openai-call:mine"})
        young, _ = self.say()
        dead, died = self.say()
        paused, _ = self.say()
        blocked, _ = self.say()
        archived, _ = self.say()
        self.call("POST", f"/v1/sessions/{archived}/archive", want=202)
        wait_for(lambda: self.call("GET", f"/v1/sessions/{archived}")[1]["status"] == "archived")
        self.assertEqual(self.node.ctl("lane", "pause", paused, "--tenant", "default").returncode, 0)
        self.node.sql("INSERT INTO tb.dead_runs (tenant_id, run_id, agent_id, session_id, reason) SELECT tenant_id, run_id, agent_id, session_id, 'poison'"
                      f" FROM tb.agent_runs WHERE run_id = '{died}'; UPDATE tb.lanes SET blocked = true WHERE session_id = '{blocked}'")
        kept = (named, like_one, dead, paused, blocked, archived)
        self.age(old, boxed, *kept)
        self.age(young, days=29)
        used = self.node.sql("SELECT count(*) FROM tb.usage_ledger")
        self.assertTrue(os.path.isdir(files), files)
        self.restart()
        self.wait_gone(old, boxed)
        wait_for(lambda: not os.path.exists(files))
        for session in (*kept, young):
            self.assertTrue(self.there(session), session)
        for path in (f"/v1/runs/{run}", f"/v1/responses/resp_{run}", f"/v1/sessions/{old}"):
            self.call("GET", path, want=404)
        self.call("POST", "/v1/responses", {"model": "main", "input": "on", "previous_response_id": f"resp_{run}"}, want=404)
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.usage_ledger"), used)
        # the dead letter was looked at; somebody goes on with what was to go
        self.call("DELETE", f"/v1/dead-letters/{died}")
        self.age(young)
        self.say(headers={"x-terabits-session-key": self.call("GET", f"/v1/sessions/{young}")[1]["sessionKey"]})
        self.restart()
        self.wait_gone(dead)
        self.assertTrue(self.there(young))

    def test_the_same_key_again_is_a_new_session(self):
        old, run = self.say(headers={"Idempotency-Key": "again"})
        self.age(old)
        self.closed_by_hand()
        self.node.sql("DELETE FROM tb.idempotency_keys")  # which live for a day
        new, other = self.say(headers={"Idempotency-Key": "again"})  # the edge remembers the old one
        self.assertNotEqual((old, run), (new, other))
        self.assertTrue(self.there(new))

    def test_one_in_which_something_runs_is_not_closed(self):
        session, _ = self.say()
        key = self.call("GET", f"/v1/sessions/{session}")[1]["sessionKey"]
        run = self.call("POST", "/v1/agents/main/runs", {"message": "later", "sessionKey": key, "delayMs": 3600000}, want=202)[1]["runId"]
        self.age(session)
        self.assertEqual(self.closed_by_hand(), 0)
        self.call("POST", f"/v1/runs/{run}/cancel")
        self.age(session)
        self.assertEqual(self.closed_by_hand(), 1)

    def test_a_deleted_response_takes_its_session(self):
        """Once nothing else is in it; of a conversation that has a name the response goes, and nothing else."""
        def respond(**more):
            head, answer = self.call("POST", "/v1/responses", {"model": "main", "input": "hello", **more})
            return answer["id"], self.call("GET", f"/v1/runs/{head['x-run-id']}")[1]["sessionId"]
        delete = lambda id, want=200: self.call("DELETE", f"/v1/responses/{id}", want=want)[1]
        one, session = respond()
        two, again = respond(previous_response_id=one)
        self.assertEqual(session, again)
        self.assertEqual(delete(one), {"id": one, "object": "response", "deleted": True})
        self.assertTrue(self.there(session))
        delete(two)
        self.assertFalse(self.there(session))
        named, conversation = respond(user="ann")
        delete(named)
        self.assertTrue(self.there(conversation))
        paused, held = respond()
        self.assertEqual(self.node.ctl("lane", "pause", held, "--tenant", "default").returncode, 0)
        delete(paused)
        self.assertTrue(self.there(held))  # as long as somebody's pause keeps it
        for id in (one, two, named, paused, f"resp_{uuid.uuid4()}", "resp_x"):
            delete(id, want=404)
        self.restart()
        self.wait_gone(session)
        self.assertTrue(self.there(held))
        self.assertEqual(self.node.ctl("lane", "resume", held, "--tenant", "default").returncode, 0)
        self.restart()
        self.wait_gone(held)
        # a user's own, and no other user's
        tokens = {u: self.call("POST", "/v1/tokens", {"scopes": ["run", "read", "write"], "user": u}, want=201)[1]["token"] for u in ("ann", "bob")}
        as_user = lambda u, method, path, body=None: self.node.request(method, path, body, token=tokens[u])
        id = as_user("ann", "POST", "/v1/responses", {"model": "main", "input": "mine"})[2]["id"]
        self.assertEqual([as_user(u, "DELETE", f"/v1/responses/{id}")[0] for u in ("bob", "ann")], [404, 200])

    def test_many_in_any_order(self):
        """The newest by its id was used first."""
        sessions = [self.say()[0] for _ in range(65)]
        self.age(*sessions)
        for i, s in enumerate(sorted(sessions)):
            self.age(s, days=40 + i)
        self.restart()
        self.wait_gone(*sessions)

    def test_what_a_death_or_a_cancel_left(self):
        """Closed, and nobody's: of many pages, one with more runs and messages than a piece has."""
        sessions = [self.say()[0] for _ in range(45)]
        large = sessions[7]
        self.node.sql(f"INSERT INTO tb.session_messages (tenant_id, session_id, seq, run_id, role, content) SELECT 1, '{large}', g, '{uuid.uuid4()}', 'user',"
                      " '{\"blocks\":[]}' FROM generate_series(100, 2600) g")
        self.node.sql("INSERT INTO tb.agent_runs SELECT (jsonb_populate_record(NULL::tb.agent_runs, to_jsonb(r) || jsonb_build_object('run_id',"
                      " gen_random_uuid(), 'lane_seq', g + 1000))).* FROM tb.agent_runs r, generate_series(1, 120) g"
                      f" WHERE session_id = '{large}'")
        self.age(*sessions)
        self.assertEqual(self.closed_by_hand(), 45)
        self.assertEqual(self.rows_of(large)["agent_runs"], 121)
        self.call("GET", f"/v1/sessions/{large}", want=404)
        self.node.kill("supervisor")
        self.node.daemon.wait(20)
        self.restart_after_death()
        self.wait_gone(*sessions)

    def restart_after_death(self):
        wait_for(lambda: not self.node.all_pids())
        self.node.start_daemon()
        self.node.wait_ready()

    def test_never(self):
        old, _ = self.say()
        self.age(old, days=4000)
        self.restart(TERABITS_STATELESS_DAYS="0")
        other, _ = self.say()
        self.age(other, days=4000)
        self.node.sql(f"UPDATE tb.agent_sessions SET status = 'deleted' WHERE session_id = '{other}'")
        self.restart()
        self.wait_gone(other)  # so it has looked
        self.assertTrue(self.there(old))


if __name__ == "__main__":
    unittest.main()
