# SPDX-License-Identifier: Apache-2.0
"""Much at once of what each may do alone: it costs who asked for it some time, and nobody his connection, worker or run."""
import http.client
import io
import json
import os
import re
import selectors
import signal
import socket
import time

from node import wait_for
from test_admin import WithAdmin


class Answer:
    """For http.client: what came, as a socket."""

    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


class Crowd(WithAdmin):
    def setUp(self):
        super().setUp()
        self.pids_before = self.node.pids()

    def tearDown(self):
        self.assertEqual(self.node.pids(), self.pids_before)
        self.assertNotIn("child-killed", self.node.log())
        super().tearDown()


class ManyReaders(Crowd):
    seconds = 30
    READERS = 300 if os.environ.get("TB_LONG") else 150
    BYTES = 240000

    def open_stream(self, run):
        s = socket.create_connection(("127.0.0.1", self.node.port))
        self.addCleanup(s.close)
        s.sendall(f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.node.token()}\r\n\r\n".encode())
        s.setblocking(False)
        self.came[s] = bytearray()
        self.open.register(s, selectors.EVENT_READ)
        return s

    def read(self, until, seconds=60):
        """Whatever comes, until all of those have said that."""
        end = time.monotonic() + seconds
        while not until():
            self.assertLess(time.monotonic(), end, sorted(len(b) for b in self.came.values())[:10])
            for key, _ in self.open.select(0.2):
                data = key.fileobj.recv(1 << 20)
                self.came[key.fileobj] += data
                if not data:
                    self.assertTrue(self.came[key.fileobj].endswith(b"0\r\n\r\n"), "a stream was cut")
                    self.open.unregister(key.fileobj)

    def events(self, s):
        answer = http.client.HTTPResponse(Answer(bytes(self.came[s])))
        answer.begin()
        self.assertEqual(answer.status, 200)
        return [json.loads(line[5:]) for line in answer.read().splitlines() if line.startswith(b"data:")]

    def test_all_at_once(self):
        """Hundreds who begin to read a long run in one turn get all of it, and the one who reads another run keeps his stream."""
        n = self.node
        self.came, self.open = {}, selectors.DefaultSelector()
        self.addCleanup(self.open.close)
        run = self.enqueue(f"[size {self.BYTES}][chunks 400][pause 5] x", "much")
        other = self.hold("other")
        first, innocent = self.open_stream(run), self.open_stream(other)
        self.read(lambda: len(self.came[first]) > self.BYTES * 9 // 10)
        with n.model_stopped():  # the run goes on for as long as it takes
            edge = n.pids()["edge"][0]
            os.kill(edge, signal.SIGSTOP)
            try:
                readers = [self.open_stream(run) for _ in range(self.READERS)]
            finally:
                os.kill(edge, signal.SIGCONT)
            self.read(lambda: all(len(self.came[s]) > self.BYTES * 9 // 10 for s in readers))
        self.cancel(other)
        self.read(lambda: all(b.endswith(b"0\r\n\r\n") for b in self.came.values()))
        whole = n.sql(f"SELECT content->'blocks'->0->>'text' FROM tb.session_messages WHERE run_id = '{run}' AND role = 'assistant'")
        self.assertEqual(len(whole), self.BYTES)
        for s in readers + [first]:
            events = self.events(s)
            self.assertEqual("".join(e.get("content", "") for e in events), whole)
            self.assertEqual([e["phase"] for e in events if "phase" in e], ["start", "end"])
        self.assertEqual([e["phase"] for e in self.events(innocent) if "phase" in e], ["start", "error"])


class LongMessages(Crowd):
    seconds = 45
    workers = 1  # all of them are its

    def test_claimed_at_once(self):
        """50 messages of nearly a megabyte whose lanes go on in one moment: each is answered, and no run is charged a crash."""
        n = self.node
        self.ask("queue.pause", scope="node")
        runs = [self.enqueue("[size 20]" + "x" * 950000, f"long{i}") for i in range(50)]
        self.ask("queue.resume", scope="node")
        for run in runs:
            self.assertEqual(n.wait(run)["status"], "ok")
        self.assertEqual(n.rows("SELECT result, crashes, attempts, count(*) FROM tb.agent_runs GROUP BY 1, 2, 3"),
                         [{"result": "completed", "crashes": 0, "attempts": 1, "count": 50}])


class LongLane(WithAdmin):
    """What a worker holds of a lane is what its model can be shown, however long the lane is."""
    workers = 1
    seconds = 60
    env = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=1"}

    def most_mib(self):
        """What the worker ever held."""
        with open(f"/proc/{self.node.pids()['worker'][0]}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) // 1024

    def test_forty_long_messages(self):
        n = self.node
        for _ in range(40):
            self.assertEqual(n.wait(self.enqueue("[size 20]" + "y" * 950000, "lane"))["status"], "ok")
        self.assertLess(self.most_mib(), 64)
        n.kill("worker")
        self.workers_ready(1)
        self.assertEqual(n.wait(self.enqueue("[size 20] short", "lane"))["status"], "ok")
        self.assertLess(self.most_mib(), 64)
