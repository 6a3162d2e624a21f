# SPDX-License-Identifier: Apache-2.0
"""The sessions' API through the real processes: begun, listed, read, searched; and the jobs that change a transcript, in order with the
runs of their lane."""
import concurrent.futures
import json
import os
import unittest
import urllib.parse
import uuid

from node import wait_for
from test_policy import WithPolicy

together = True  # the classes share a node: one process


class WithSessions(WithPolicy):
    workers = 2

    def call(self, method, path, body=None, want=200, token=None, **headers):
        status, head, answer = self.node.request(method, path, body, token=token, headers=headers)
        self.assertEqual(status, want, answer)
        return answer

    def by_key(self, key, rest="", agent="main"):
        return f"/v1/agents/{agent}/sessions/{urllib.parse.quote(key, safe='')}{rest}"

    def open(self, key=None, agent="main"):
        return self.call("POST", f"/v1/agents/{agent}/sessions", {"sessionKey": key or self.session()})

    def say(self, session, message, agent="main"):
        """A turn to its end."""
        run = self.post(message, session["sessionKey"], agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        return run

    def history(self, session, **query):
        return self.call("GET", f"/v1/sessions/{session['sessionId']}/messages?{urllib.parse.urlencode(query)}")

    def texts(self, session):
        """Role and text of its messages, the oldest first."""
        return [(m["role"], "".join(b.get("text", "") for b in m["content"]["blocks"]))
                for m in reversed(self.history(session, limit=200)["messages"])]

    def search(self, path, text, want=200, token=None, **query):
        query = urllib.parse.urlencode({"q": text, **query}, quote_via=urllib.parse.quote)
        return self.call("GET", f"{path}/messages/search?{query}", want=want, token=token)


class Reads(WithSessions):
    def test_the_same_key_is_the_same_session(self):
        key = self.session()
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            opened = list(pool.map(lambda _: self.open(key), range(50)))
        self.assertEqual(len({s["sessionId"] for s in opened}), 1)
        one = opened[0]
        self.assertEqual((one["sessionKey"], one["status"], one["messages"], one["meta"]), (key, "active", 0, {}))
        self.assertEqual(self.call("GET", self.by_key(key)), one)
        self.assertEqual(self.call("GET", f"/v1/sessions/{one['sessionId']}"), one)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_sessions WHERE session_key = '{key}'"), "1")

    def test_what_is_no_session(self):
        self.call("GET", self.by_key("nobody"), want=404)
        self.call("GET", "/v1/sessions/nobody", want=404)
        self.call("GET", f"/v1/sessions/{uuid.uuid4()}", want=404)
        self.call("POST", "/v1/agents/nobody/sessions", {}, want=404)
        self.call("POST", "/v1/agents/main/sessions", {"sessionKey": "cron:x"}, want=400)
        self.call("POST", "/v1/agents/main/sessions", {"sessionKey": ""}, want=400)
        self.call("POST", "/v1/agents/main/sessions", {"key": "x"}, want=400)

    def test_another_tenant_sees_none_of_it(self):
        one = self.open()
        self.say(one, "the heron stands in the reeds")
        foreign = self.token(4242, "run,read,write")
        for method, rest in (("GET", ""), ("PATCH", ""), ("GET", "/messages"), ("GET", "/messages/search?q=heron")):
            self.call(method, f"/v1/sessions/{one['sessionId']}{rest}", {} if method == "PATCH" else None, want=404, token=foreign)
        self.assertEqual(self.call("GET", "/v1/sessions", token=foreign)["sessions"], [])

    def test_the_list_is_recent_first_and_goes_on(self):
        agent = self.agent()
        for _ in range(4):
            self.open(agent=agent)
        self.node.sql(f"UPDATE tb.agent_sessions s SET last_active_at = now() - n * interval '1 hour' FROM (SELECT session_id, row_number()"
                      f" OVER (ORDER BY session_id DESC) AS n FROM tb.agent_sessions WHERE agent_id = (SELECT agent_id FROM tb.agents WHERE"
                      f" name = '{agent}')) x WHERE s.session_id = x.session_id")
        whole = self.call("GET", f"/v1/sessions?agent={agent}")
        self.assertNotIn("next", whole)
        ids = [s["sessionId"] for s in whole["sessions"]]
        self.assertEqual(len(ids), 5)
        oldest = whole["sessions"][-1]
        seen, query = [], ""
        while True:
            page = self.call("GET", f"/v1/sessions?agent={agent}&limit=2{query}")
            seen += [s["sessionId"] for s in page["sessions"]]
            if "next" not in page:
                break
            query = f"&before={page['next']}"
        self.assertEqual(seen, ids)
        self.say(oldest, "hello", agent)  # and is the most recent one now
        self.assertEqual(self.call("GET", f"/v1/sessions?agent={agent}&limit=1")["sessions"][0]["sessionId"], oldest["sessionId"])
        self.assertEqual(self.call("GET", f"/v1/sessions?agent={agent}&status=archived")["sessions"], [])
        self.call("GET", "/v1/sessions?status=deleted", want=400)
        self.call("GET", "/v1/sessions?before=x", want=400)
        self.call("GET", "/v1/sessions?agent=nobody", want=404)

    def test_what_its_owner_says_of_it(self):
        one = self.open()
        path = f"/v1/sessions/{one['sessionId']}"
        changed = self.call("PATCH", path, {"title": "Herons", "meta": {"ticket": 7}, "queueMode": "followup"})
        self.assertEqual((changed["title"], changed["meta"], changed["queueMode"]), ("Herons", {"ticket": 7}, "followup"))
        changed = self.call("PATCH", self.by_key(one["sessionKey"]), {"title": None, "queueMode": None})
        self.assertNotIn("title", changed)
        self.assertEqual(changed["meta"], {"ticket": 7})
        for wrong in ({"title": ""}, {"meta": []}, {"queueMode": "announce"}, {"status": "archived"}, {"title": "a\nb"}):
            self.call("PATCH", path, wrong, want=400)

    def test_history_is_newest_first_and_goes_on(self):
        one = self.open()
        for i in range(3):
            self.say(one, f"message {i}")
        whole = self.history(one)
        self.assertEqual([m["seq"] for m in whole["messages"]], [6, 5, 4, 3, 2, 1])
        self.assertNotIn("next", whole)
        first = whole["messages"][-1]
        self.assertEqual(list(first), ["seq", "role", "step", "runId", "createdAt", "content"])
        self.assertEqual(first["content"], {"blocks": [{"text": "message 0", "type": "text"}]})
        seen, query = [], {}
        while True:
            page = self.history(one, limit=4, **query)
            seen += page["messages"]
            if "next" not in page:
                break
            query = {"before": page["next"]}
        self.assertEqual(seen, whole["messages"])
        self.call("GET", self.by_key(one["sessionKey"], "/messages?before=0"), want=400)
        self.call("GET", self.by_key(one["sessionKey"], "/messages?limit=201"), want=400)

    def test_a_page_of_long_messages_is_short(self):
        one = self.open()
        self.node.sql("INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1,"
                      f" '{one['sessionId']}', n, 'user', jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text',"
                      " 'text', repeat('x', 400000)))) FROM generate_series(1, 6) n; UPDATE tb.lanes SET head_seq = 6 WHERE session_id ="
                      f" '{one['sessionId']}'")
        self.assertEqual([m["seq"] for m in self.history(one)["messages"]], [6, 5])
        self.assertEqual([m["seq"] for m in self.history(one, before=5)["messages"]], [4, 3])

    def test_a_search_finds_what_holds_all_words(self):
        agent = self.agent()
        one, two = self.open(agent=agent), self.open(agent=agent)
        self.say(one, "the heron stands in the Reeds", agent)
        self.say(two, "a heron flew", agent)
        where = f"/v1/sessions/{one['sessionId']}"
        found = self.search(where, "reeds HERON")
        self.assertTrue(found["complete"])
        self.assertIn((1, "user"), [(f["seq"], f["role"]) for f in found["found"]])
        self.assertTrue(all("heron" in f["excerpt"] for f in found["found"]))
        self.assertEqual({f["sessionId"] for f in found["found"]}, {one["sessionId"]})
        self.assertEqual(self.search(where, "heron flew")["found"], [])
        self.assertEqual({f["sessionId"] for f in self.search(f"/v1/agents/{agent}", "heron")["found"]},
                         {one["sessionId"], two["sessionId"]})
        self.assertEqual(self.search("/v1/agents/main", "heron flew")["found"], [])
        # what came since
        self.say(one, "an egret, too", agent)
        self.assertEqual([f["seq"] for f in self.search(where, "egret")["found"] if f["role"] == "user"], [3])
        self.assertTrue(self.search(f"/v1/agents/{agent}", "egret")["found"])
        # page by page
        seen, query = [], {}
        while True:
            page = self.search(f"/v1/agents/{agent}", "heron", limit=1, **query)
            seen += [(f["sessionId"], f["seq"]) for f in page["found"]]
            if "next" not in page:
                break
            query = {"before": page["next"]}
        self.assertEqual(seen, [(f["sessionId"], f["seq"]) for f in self.search(f"/v1/agents/{agent}", "heron")["found"]])
        self.search(where, "", want=400)
        self.assertEqual(self.search(where, "!!!")["found"], [])


if __name__ == "__main__":
    unittest.main()
