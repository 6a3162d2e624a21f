# SPDX-License-Identifier: Apache-2.0
"""Programs that outlive their calls, and what programs print while they run, through the real processes."""
import errno
import json
import os
import unittest

from node import wait_for
from test_tools import WithTools


def call(name, **arguments):
    return f"[tool {name} {json.dumps(arguments)}]"


def poll(id, out=0, err=0, wait_ms=20000):
    return call("process", action="poll", id=id, from_stderr=err, wait_ms=wait_ms, **{"from": out})


def feed(fifo):
    """A line into it, once somebody reads there."""
    def opened():
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as e:
            if e.errno not in (errno.ENXIO, errno.ENOENT):
                raise
    fd = wait_for(opened)
    os.write(fd, b"x\n")
    os.close(fd)


class WithProcesses(WithTools):
    tools = ["bash", "exec", "process"]

    def outputs(self, run):
        return [r["output"] for r in self.node.rows(
            f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")]

    def session(self):
        return self.id()[-200:]

    def begin(self, *calls):
        return self.post("".join(calls) + " go", self.session(), agent=self.runner())

    def turns(self, *calls):
        """What these calls of one run gave."""
        run = self.begin(*calls)
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        return self.outputs(run)

    def started(self, run, calls):
        wait_for(lambda: [s for _, s in self.calls(run)][:calls] == ["completed"] * (calls - 1) + ["running"])

    def worker_of(self, run):
        worker = self.node.admin("run.show", {"run": run, "tenant": 1})["worker"]
        return [c for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["ordinal"] == worker][0]


class Background(WithProcesses):
    def test_it_goes_on_and_is_asked(self):
        script = 'rm -f f; mkfifo f; echo one; echo err >&2; read x <f; echo "$x"; sleep 310'
        started, first, wrote, second, listed, killed, after = self.turns(
            call("bash", script=script, background=True), poll("p1"), call("bash", script="echo two >f"), poll("p1", 4, 4),
            call("process", action="list"), call("process", action="kill", id="p1"), poll("p1"))
        self.assertEqual((started["process"], started["state"]), ("p1", "running"))
        self.assertEqual((first["state"], first["stdout"], first["next"]), ("running", "one\n", 4))
        self.assertEqual(wrote["exit"], 0)
        self.assertEqual((second["stdout"], second["stderr"], second["next"], second["next_stderr"]), ("two\n", "", 8, 4))
        self.assertEqual(listed["processes"], [{"process": "p1", "state": "running"}])
        self.assertEqual((killed["state"], killed["killed"]), ("killed", True))
        self.assertEqual((after["state"], after["stdout"], after["stderr"]), ("killed", "one\ntwo\n", "err\n"))
        self.assertEqual(self.sleepers(310), 0)

    def test_how_it_ends(self):
        ended, waits, again, late, nowhere, unknown = self.turns(
            call("bash", script="echo at once; exit 4", yield_ms=20000), call("bash", script="sleep 1; exit 3", background=True),
            poll("p1"), call("bash", script="sleep 319", background=True), call("bash", script="true", cwd="nowhere", yield_ms=20000),
            poll("p7"))
        self.assertEqual((ended["exit"], ended["stdout"]), (4, "at once\n"))
        self.assertNotIn("process", ended)
        self.assertEqual(waits["state"], "running")
        self.assertEqual((again["state"], again["exit"]), ("exited", 3))
        self.assertEqual(late["process"], "p2")
        self.assertIn("cwd", nowhere["error"])
        self.assertIn("started no process 'p7'", unknown["error"])

    def test_its_time(self):
        _, end = self.turns(call("bash", script="sleep 312", background=True, timeout_s=1), poll("p1"))
        self.assertEqual((end["state"], end["timed_out"]), ("timed_out", True))

    def test_not_too_many(self):
        starts = [call("exec", argv=["sleep", "313"], background=True)] * 9
        outputs = self.turns(*starts)
        self.assertEqual([o["process"] for o in outputs[:8]], [f"p{i}" for i in range(1, 9)])
        self.assertIn("8 processes", outputs[8].get("error", ""))
        self.assertEqual(self.sleepers(313), 0)

    def test_all_end_with_the_run(self):
        self.turns(call("bash", script="sleep 314 & setsid sleep 314 & sleep 314", background=True))
        self.assertEqual(self.sleepers(314), 0)
        asked, = self.turns(poll("p1"))
        self.assertIn("A process ends with the run that started it", asked["error"])

    def test_a_cancel_ends_them(self):
        run = self.begin(call("bash", script="sleep 315", background=True), poll("p1", wait_ms=60000))
        self.started(run, 2)
        wait_for(lambda: self.sleepers(315) == 1)
        self.cancel(run)
        self.assertEqual(self.ended(run)["result"], "cancelled")
        wait_for(lambda: self.sleepers(315) == 0)

    def replaced(self, pid):
        """Until another worker is in its place runs may still move there, and their processes end with that."""
        def over():
            workers = self.node.admin("worker.list")["workers"]
            return {w["state"] for w in workers} == {"ready"} and pid not in [w["pid"] for w in workers]
        wait_for(over, 60)

    def test_its_worker_dies(self):
        run = self.begin(call("bash", script="sleep 316", background=True), poll("p1", wait_ms=60000),
                         call("bash", script="sleep 317", background=True))
        self.started(run, 2)
        killed = self.worker_of(run)["pid"]
        self.addCleanup(self.replaced, killed)
        os.kill(killed, 9)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        started, asked, another = self.outputs(run)
        self.assertEqual(started["process"], "p1")
        self.assertIn("the process p1 ended with the worker that ran it", asked["error"])
        self.assertEqual(another.get("process"), "p2", another)
        wait_for(lambda: self.sleepers(316) == 0 and self.sleepers(317) == 0)

    def test_its_run_moves_on(self):
        """To another worker, between two steps; nothing of it runs there."""
        run = self.begin(call("bash", script="sleep 318", background=True), poll("p1", wait_ms=3000), poll("p1"))
        self.started(run, 2)
        left = self.worker_of(run)
        self.assertNotIn("error", self.node.admin("worker.restart", {"worker": left["ordinal"]}))
        self.addCleanup(self.replaced, left["pid"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        waited, asked = self.outputs(run)[1:]
        self.assertEqual(waited["state"], "running")
        self.assertIn("the process p1 ended with the worker that ran it", asked["error"])
        self.assertEqual(self.sleepers(318), 0)


class Shown(WithProcesses):
    def workspace(self):
        name = self.runner()
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{name}'")
        return os.path.join(self.node.state, "workspaces", "1", id)

    def follow(self, script, on_piece):
        """The events of a run of that script; told of each piece that is shown before the end."""
        run = self.begin(call("bash", script=script))
        seen = []
        for id, type, e in self.node.sse(f"/v1/runs/{run}/events"):
            seen.append((id, type, e))
            if type == "tool" and "content" in e:
                on_piece(e)
        return run, seen

    def test_what_it_prints_is_seen_while_it_runs(self):
        fifo = os.path.join(self.workspace(), "go")
        def go_on(piece):
            if piece["content"] == "\u00e9\n":  # never half of it
                feed(fifo)
        run, seen = self.follow("rm -f go; mkfifo go; printf 'begun\\xc3'; sleep 0.3; printf '\\xa9\\n'; read x <go; echo end >&2; sleep 0.3", go_on)
        tools = [(id, e) for id, type, e in seen if type == "tool"]
        states = [e["toolState"] for _, e in tools]
        self.assertEqual((states[0], states[-1], set(states[1:-1])), ("running", "completed", {"running"}))
        pieces = [(id, e) for id, e in tools if "content" in e]
        self.assertEqual("".join(e["content"] for _, e in pieces if e["metadata"]["stream"] == "stdout"), "begun\u00e9\n")
        self.assertEqual([e["content"] for _, e in pieces if e["metadata"]["stream"] == "stderr"], ["end\n"])
        self.assertEqual({(e["toolName"], e["metadata"]["callId"]) for _, e in tools}, {("bash", tools[0][1]["metadata"]["callId"])})
        last = tools[-1][1]["seq"]
        at = 0
        for id, e in pieces:
            at += len(e["content"].encode())
            self.assertEqual((id, e["seq"]), (f"{last}.{at}", last))
        stored = self.node.sql(f"SELECT count(*) FROM tb.run_events WHERE run_id = '{run}' AND body ? 'content' AND type = 'tool'")
        self.assertEqual(stored, "0")
        self.assertEqual([i for i, _, _ in self.node.events(run)], [i for i, _, _ in seen if "." not in i])

    def test_a_stream_goes_on_behind_a_piece(self):
        fifo = os.path.join(self.workspace(), "go")
        run = self.begin(call("bash", script="rm -f go on; mkfifo go on; echo one; read x <go; echo two; read x <on"))
        def first(last=None):
            headers = {"Last-Event-ID": last} if last else None
            for id, type, e in self.node.sse(f"/v1/runs/{run}/events", headers):
                if type == "tool" and "content" in e:
                    return id, e["content"]
        self.assertEqual(first()[1], "one\n")
        id, content = first()  # from the ring
        self.assertEqual(content, "one\n")
        feed(fifo)
        later, content = first(id)
        self.assertEqual(content, "two\n")
        feed(os.path.join(self.workspace(), "on"))  # another one: who still holds the first would end it at once
        rest = self.node.events(run, last=later)
        self.assertEqual([e["toolState"] for _, t, e in rest if t == "tool"], ["completed"])
        self.assertEqual(rest[-1][2]["phase"], "end")

    def test_how_much_is_shown(self):
        run, seen = self.follow("for i in $(seq 30); do head -c 200000 /dev/zero | tr '\\0' y; sleep 0.02; done; sleep 0.2", lambda e: None)
        pieces = [e for _, t, e in seen if t == "tool" and "content" in e]
        self.assertLessEqual(sum(len(e["content"]) for e in pieces), (64 << 10) + 4096)
        self.assertTrue(pieces)
        self.assertTrue(all(len(e["content"]) <= 4096 for e in pieces))
        _, seen = self.follow("head -c 5000 /dev/zero; sleep 0.3", lambda e: None)
        self.assertEqual([e["content"] for _, t, e in seen if t == "tool" and "content" in e], ["[binary]"])

    def test_terabitsctl_shows_it(self):
        answer = self.node.ctl("send", "--agent", self.runner(), call("bash", script="echo from the program; sleep 0.4") + " go")
        self.assertIn("from the program\n", answer.stdout)
        self.assertLess(answer.stdout.index("[tool bash running"), answer.stdout.index("from the program\n["))


if __name__ == "__main__":
    unittest.main()
