# SPDX-License-Identifier: Apache-2.0
"""Files of workspaces over HTTP: in, out, listed, removed; of two tenants; with paths and clients that mean no good."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import signal
import socket
import time
import unittest
import urllib.parse

from node import wait_for
from test_tools import WithTools

MIB = 1 << 20


def quote(path):
    return urllib.parse.quote(path, safe="")


class WithFiles(WithTools):
    workers = 1

    def url(self, path, agent="one", content=True, **query):
        name = agent if agent == "main" else self.runner(agent)
        q = "&".join(f"{k}={quote(str(v))}" for k, v in {"path": path, **query}.items() if v is not None)
        return f"/v1/agents/{name}/files{'/content' if content else ''}?{q}"

    def put(self, path, data, **kw):
        return self.node.request("PUT", self.url(path, **kw), data)

    def get(self, path, **kw):
        return self.fetch(self.url(path, **kw))

    def fetch(self, url):
        """(status, headers, bytes)"""
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        try:
            c.request("GET", url, headers={"Authorization": f"Bearer {self.node.token()}"})
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def list(self, path="", **kw):
        status, _, answer = self.node.get(self.url(path, content=False, **kw))
        self.assertEqual(status, 200, answer)
        return answer

    def paths(self, path="", **kw):
        return [e["path"] for e in self.list(path, **kw)["entries"]]

    def remove(self, path, **kw):
        return self.node.request("DELETE", self.url(path, content=False, **kw))

    def workspace(self, agent="one"):
        """Its directory on this machine."""
        rows = self.node.rows(f"SELECT tenant_id, agent_id FROM tb.agents WHERE name = '{self.runner(agent)}'")
        return os.path.join(self.node.state, "workspaces", str(rows[0]["tenant_id"]), rows[0]["agent_id"])

    def left(self, agent="one"):
        """Every name in it, hidden and temporary ones too; but what a program finds there already."""
        found = []
        for at, dirs, files in os.walk(self.workspace(agent)):
            found += [os.path.relpath(os.path.join(at, n), self.workspace(agent)) for n in dirs + files]
        return sorted(set(found) - {".terabits"})

    def edge_child(self):
        return [c for c in self.node.admin("status")["children"] if c["kind"] == "edge"][0]

    def code(self, answer):
        return answer[0], answer[2]["error"]["code"]


class Versions(WithFiles):
    """A file has an ETag; who names it with If-Match replaces or removes that version, and no other."""

    def tagged(self, method, url, data=None, tag=None):
        return self.node.request(method, url, data, headers={} if tag is None else {"If-Match": tag})

    def refused(self, answer, status, *words):
        self.assertEqual((answer[0], answer[2]["error"]["param"]), (status, "If-Match"), answer)
        for word in words:
            self.assertIn(word, answer[2]["error"]["message"])

    def all_of_it(self, file, files):
        """file, files: the URL of one and the one that removes it."""
        status, head, _ = self.tagged("PUT", file, b"one", '"0"')
        first = head["etag"]
        self.assertEqual((status, self.tag_of(file)), (201, first))
        self.refused(self.tagged("PUT", file, b"zero", '"0"'), 412, "is there already")
        status, head, _ = self.tagged("PUT", file, b"two", first)
        second = head["etag"]
        self.assertEqual((status, self.tag_of(file)), (200, second))
        self.assertNotEqual(first, second)
        for tag in (first, '"1-2-3"'):
            self.refused(self.tagged("PUT", file, b"three", tag), 412, "was changed")
            self.refused(self.tagged("DELETE", files, tag=tag), 412, "was changed")
        for tag in ("x", '"', '""', '"a b"', f'W/{second}', '"' + "a" * 200 + '"', f'{first}, {second}'):
            self.refused(self.tagged("PUT", file, b"three", tag), 400)
        self.assertEqual(self.bytes_of(file), b"two")
        self.assertEqual(self.tagged("PUT", file, b"two", "*")[0], 200)  # anything that is there; and another version
        self.refused(self.tagged("DELETE", files, tag=second), 412)
        self.assertEqual(self.tagged("DELETE", files, tag=self.tag_of(file))[0], 200)
        for tag in ("*", second):
            self.refused(self.tagged("PUT", file, b"three", tag), 412, "any more")
        self.assertEqual(self.tagged("DELETE", files, tag=second)[0], 404)
        self.assertEqual(self.node.request("GET", file)[0], 404)

    def tag_of(self, url):
        return self.fetch(url)[1]["etag"]

    def bytes_of(self, url):
        return self.fetch(url)[2]

    def test_of_a_workspace(self):
        self.all_of_it(self.url("v/a.txt", agent="tagged"), self.url("v/a.txt", agent="tagged", content=False))
        self.assertEqual(self.left("tagged"), ["v"])

    def test_of_skills(self):
        self.all_of_it("/v1/skills/files/content?path=tags%2Fa.md", "/v1/skills/files?path=tags%2Fa.md")

    def test_what_a_program_changed(self):
        """And what it wrote in place, of the same size, with its time set back."""
        file = self.url("program.txt", agent="tags")
        _, head, _ = self.tagged("PUT", file, b"one")
        path = os.path.join(self.workspace("tags"), "program.txt")
        then = os.stat(path)
        with open(path, "r+b") as f:
            f.write(b"two")
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
        self.refused(self.tagged("PUT", file, b"mine", head["etag"]), 412)
        self.assertEqual(self.bytes_of(file), b"two")

    def test_many_at_once(self):
        file = self.url("race.txt", agent="tags")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for i in range(20):
                _, head, _ = self.tagged("PUT", file, b"first %d" % i)
                ended = list(pool.map(lambda i: self.tagged("PUT", file, b"%d" % i, head["etag"])[0], range(6)))
                self.assertEqual(sorted(ended), [200] + [412] * 5, i)
                self.assertEqual(self.bytes_of(file), b"%d" % ended.index(200))
        self.assertFalse([n for n in self.left("tags") if n.startswith(".tb-")])

    def test_what_a_death_left(self):
        """The temporary names of a write that was killed stand in nobody's way, and go with the next one."""
        file, name = self.url("killed.txt", agent="killed"), 14695981039346656037
        self.assertEqual(self.tagged("PUT", file, b"one")[0], 201)
        for byte in b"killed.txt":
            name = (name ^ byte) * 1099511628211 % 2 ** 64
        for end in ("", ".new"):
            with open(os.path.join(self.workspace("killed"), f".tb-write-{name:016x}{end}"), "w") as f:
                f.write("half")
        self.assertEqual(self.tagged("PUT", file, b"two")[0], 200)
        self.assertEqual((self.bytes_of(file), self.left("killed")), (b"two", ["killed.txt"]))


class Files(WithFiles):
    def test_there_and_back(self):
        agent = "there"
        data = os.urandom(300000)
        status, _, answer = self.put("a/b/data.bin", data, agent=agent)
        self.assertEqual((status, answer), (201, {"path": "a/b/data.bin", "bytes": 300000, "created": True}))
        status, head, got = self.get("a/b/data.bin", agent=agent)
        self.assertEqual((status, got == data), (200, True))
        self.assertEqual((head["content-length"], head["content-type"]), ("300000", "application/octet-stream"))
        self.assertEqual(head["x-content-type-options"], "nosniff")
        self.assertEqual(self.put("a/b/data.bin", b"short", agent=agent)[0], 200)
        self.assertEqual(self.get("/workspace/a/./b/data.bin", agent=agent)[2], b"short")
        self.assertEqual(self.put("empty.txt", b"", agent=agent)[0], 201)
        status, head, got = self.get("empty.txt", agent=agent)
        self.assertEqual((status, got, head["content-type"]), (200, b"", "text/plain; charset=utf-8"))
        self.assertEqual(self.tool("bash", agent, script="cat a/b/data.bin; echo made >by-program")["stdout"], "short")
        self.assertEqual(self.get("by-program", agent=agent)[2], b"made\n")
        self.assertEqual(self.remove("a", agent=agent)[:1], (409,))
        self.assertEqual(self.remove("a", agent=agent, recursive="true")[2], {"removed": 3})
        self.assertEqual(self.remove("empty.txt", agent=agent)[2], {"removed": 1})
        self.assertEqual(self.code(self.remove("empty.txt", agent=agent)), (404, "not_found"))
        self.assertEqual(self.left(agent), ["by-program"])

    def test_a_list_in_pages(self):
        agent = "pages"
        self.tool("bash", agent, script="mkdir -p d/e .h; touch a b.txt d/1 d/e/2 d/e/3 .h/x d.txt; ln -s /etc/passwd l; mkfifo p; "
                                        "mkdir $(printf 'odd\\377')")
        everything = [".h", ".h/x", "a", "b.txt", "d", "d/1", "d/e", "d/e/2", "d/e/3", "d.txt", "l", "p"]
        self.assertEqual(self.paths(agent=agent, depth=9), everything)
        self.assertEqual(self.paths(agent=agent), [".h", "a", "b.txt", "d", "d.txt", "l", "p"])
        self.assertEqual(self.paths("d", agent=agent, depth=2), ["d/1", "d/e", "d/e/2", "d/e/3"])
        found, after = [], None
        while True:
            page = self.list(agent=agent, depth=9, limit=5, after=after)
            found += [e["path"] for e in page["entries"]]
            after = page["next"]
            if not after:
                break
        self.assertEqual(found, everything)
        self.assertEqual(page["unnamed"], 1)
        kinds = {e["path"]: e["type"] for e in self.list(agent=agent)["entries"]}
        self.assertEqual((kinds["d"], kinds["a"], kinds["l"], kinds["p"]), ("directory", "file", "link", "pipe"))

    def test_what_leads_out(self):
        agent = "out"
        self.tool("bash", agent, script="ln -s /etc/passwd abs; ln -s ../../../../../etc/passwd rel; ln -s / root; echo x >in; ln -s in l; "
                                        "mkdir -p .git; ln -s nowhere dangling; ln -s loop loop")
        paths = ["../x", "a/../../x", "/etc/passwd", "/etc/../etc/passwd", "/workspace/../etc/passwd", "abs", "rel", "root/etc/passwd",
                 "..", "root", "/", "/proc/self/environ", "loop", "a\x01b", "x" * 300, "d/" * 200, "/workspaces/x"]
        for path in paths:
            status, _, body = self.get(path, agent=agent)
            self.assertIn(status, (400, 404), path)
            self.assertNotIn(b"root:", body)
            self.assertIn(self.put(path, b"!", agent=agent)[0], (400, 403, 404, 409), path)
        for path in paths + [""]:
            if path not in ("abs", "rel", "root", "loop"):
                self.assertIn(self.remove(path, agent=agent, recursive="true")[0], (400, 404), path)
        for raw in ["%00", "a%2", "%ff%fe", "%c0%ae%c0%ae"]:
            for method in ("GET", "PUT"):
                status = self.node.request(method, self.url("", agent=agent) + raw, b"!" if method == "PUT" else None)[0]
                self.assertEqual(status, 400, raw)
        for path in [".git/config", ".git/hooks/x", ".GIT/config", "a/.git/config", ".terabits/x", ".tb-write-x"]:
            self.assertEqual(self.code(self.put(path, b"!", agent=agent)), (403, "forbidden"), path)
        self.assertEqual(self.get("l", agent=agent)[2], b"x\n")
        self.assertEqual(self.remove("l", agent=agent)[2], {"removed": 1})
        self.assertEqual(self.remove("root", agent=agent, recursive="true")[2], {"removed": 1})
        self.assertEqual(self.get("in", agent=agent)[2], b"x\n")
        self.assertTrue(os.path.exists("/etc/passwd"))

    def test_what_is_no_file(self):
        agent = "odd"
        self.tool("bash", agent, script="mkfifo pipe; mkdir dir; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")';"
                                        " echo x >locked; chmod 0 locked")
        for path in ("pipe", "sock", "dir", "locked"):
            before = time.monotonic()
            self.assertEqual(self.get(path, agent=agent)[0], 400, path)
            self.assertLess(time.monotonic() - before, 10)
        for path in ("pipe", "sock", "dir"):
            self.assertEqual(self.put(path, b"x", agent=agent)[0], 400, path)
        self.assertEqual(self.code(self.put("locked", b"x", agent=agent)), (409, "conflict"))
        self.assertEqual(self.remove("pipe", agent=agent)[2], {"removed": 1})

    def test_rights(self):
        agent = "rights"
        self.put("f", b"mine", agent=agent)
        tokens = {s: self.node.ctl("token", "create", "--tenant", "default", "--scopes", s).stdout.strip() for s in ("run", "read", "write")}
        url, listing = self.url("f", agent=agent), self.url("", content=False, agent=agent)
        for scope, allowed in (("run", ""), ("read", "RL"), ("write", "W")):
            ask = lambda method, u: self.node.request(method, u, b"mine" if method == "PUT" else None, token=tokens[scope])[0]
            self.assertEqual(ask("GET", url) == 200, "R" in allowed, scope)
            self.assertEqual(ask("GET", listing) == 200, "L" in allowed, scope)
            self.assertEqual(ask("PUT", url) == 200, "W" in allowed, scope)
            self.assertEqual(ask("DELETE", self.url("none", content=False, agent=agent)), 404 if "W" in allowed else 403)
        self.node.ctl("tenant", "create", "other")
        other = self.node.ctl("token", "create", "--tenant", "other", "--scopes", "read,write").stdout.strip()
        for method, u in (("GET", url), ("GET", listing), ("PUT", url),
                          ("DELETE", self.url("f", content=False, agent=agent))):
            status, _, answer = self.node.request(method, u, b"theirs" if method == "PUT" else None, token=other)
            self.assertEqual((status, answer["error"]["code"]), (404, "not_found"))
        self.assertEqual(self.get("f", agent=agent)[2], b"mine")

    def test_questions_that_are_wrong(self):
        for query in ("depth=0", "depth=x", "limit=1001", "session=a", "recursive=true", "path=a&path=b", "pth=a"):
            status, _, answer = self.node.get(f"/v1/agents/{self.runner()}/files?{query}")
            self.assertEqual(status, 400, (query, answer))
            self.assertEqual(answer["error"]["param"], query.split("=")[0].split("&")[0])
        self.assertEqual(self.node.get(f"/v1/agents/{self.runner()}/files/content")[0], 400)
        self.assertEqual(self.node.request("POST", self.url("a"))[0], 405)


class Streams(WithFiles):
    # A sanitizer keeps what was freed: without that the figure is the edge's own.
    env = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}

    def rss(self, pid):
        with open(f"/proc/{pid}/status") as f:
            return int([line for line in f if line.startswith("VmRSS")][0].split()[1])

    def head(self, method, path, length=None, agent="one", extra=""):
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        return (f"{method} {self.url(path, agent=agent)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.node.token()}\r\n"
                f"{size}\r\n{extra}\r\n").encode()

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.node.port), 60)
        self.addCleanup(s.close)
        return s

    def answer(self, s):
        r = http.client.HTTPResponse(s)
        r.begin()
        return r.status, json.loads(r.read())

    def test_large_files_pass_through(self):
        agent, size = "large", (200 if os.environ.get("TB_LONG") else 64) * MIB  # more than the edge may have of it
        edge = self.edge_child()["pid"]
        before = self.rss(edge)
        block = os.urandom(MIB)
        expected = hashlib.sha256()
        s = self.connect()
        s.sendall(self.head("PUT", "large", size, agent))
        most = 0
        for i in range(size // MIB):
            s.sendall(block)
            expected.update(block)
            most = max(most, self.rss(edge)) if i % 8 == 0 else most
        self.assertEqual(self.answer(s)[0], 201)
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        c.request("GET", self.url("large", agent=agent), headers={"Authorization": f"Bearer {self.node.token()}"})
        r, got, n = c.getresponse(), hashlib.sha256(), 0
        while data := r.read(MIB):
            got.update(data)
            n += 1
            most = max(most, self.rss(edge)) if n % 8 == 0 else most
        c.close()
        self.assertEqual(got.digest(), expected.digest())
        self.assertLess(most - before, 24 * 1024, "KiB more of the edge")
        self.assertEqual(self.remove("large", agent=agent)[0], 200)

    def test_chunks(self):
        s = self.connect()
        s.sendall(self.head("PUT", "chunks", agent="chunks", extra="Expect: 100-continue\r\n"))
        self.assertEqual(s.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
        for piece in (b"one", b"two" * 50000, b"three"):
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        s.sendall(b"0\r\n\r\n")
        self.assertEqual(self.answer(s)[1]["bytes"], 150008)
        self.assertEqual(self.get("chunks", agent="chunks")[2], b"one" + b"two" * 50000 + b"three")
        s.sendall(self.head("PUT", "chunks", agent="chunks") + b"3\r\nabc\r\nzz\r\n")
        self.assertEqual(self.answer(s)[0], 400)
        self.assertEqual(len(self.get("chunks", agent="chunks")[2]), 150008)

    def test_one_that_leaves_leaves_nothing(self):
        agent = "leaves"
        self.assertEqual(self.put("old", b"old", agent=agent)[0], 201)
        for path in ("new", "dir/new", "old"):
            s = self.connect()
            s.sendall(self.head("PUT", path, 10 * MIB, agent) + b"x" * (2 * MIB))
            wait_for(lambda: self.jails() > 0)
            s.close()
            wait_for(lambda: self.jails() == 0)
        self.assertEqual(self.left(agent), ["old"])
        self.assertEqual(self.get("old", agent=agent)[2], b"old")

    def jails(self):
        """Processes below the edge's launcher, but for a spare one's guard."""
        launcher = self.edge_child()["launcherPid"]
        with open(f"/proc/{launcher}/task/{launcher}/children") as f:
            guards = f.read().split()
        busy = 0
        for pid in guards:
            try:
                busy += bool(os.listdir(f"/proc/{pid}/fd")) and any(
                    "pipe:" in os.readlink(f"/proc/{pid}/fd/{n}") for n in ("0", "1"))
            except OSError:
                pass
        return busy

    def test_slow_clients(self):
        agent = "slow"
        self.put("f", b"y" * (8 * MIB), agent=agent)
        readers = [self.connect() for _ in range(5)]
        for s in readers:
            s.sendall(self.head("GET", "f", 0, agent))
        writers = [self.connect() for _ in range(5)]
        for i, s in enumerate(writers):
            s.sendall(self.head("PUT", f"w{i}", 3, agent) + b"a")
        before = time.monotonic()
        self.assertEqual(self.put("quick", b"q", agent=agent)[0], 201)
        self.assertEqual(self.get("quick", agent=agent)[2], b"q")
        self.assertLess(time.monotonic() - before, 5)
        for s in writers:
            s.sendall(b"bc")
            self.assertEqual(self.answer(s)[1]["bytes"], 3)
        for s in readers:
            r = http.client.HTTPResponse(s)
            r.begin()
            self.assertEqual(len(r.read()), 8 * MIB)

    def test_a_tenant_has_so_many(self):
        agent = "many"
        self.put("f", b"y", agent=agent)
        open_ones = [self.connect() for _ in range(16)]
        for i, s in enumerate(open_ones):
            s.sendall(self.head("PUT", f"w{i}", 2, agent) + b"a")
        wait_for(lambda: self.get("f", agent=agent)[0] == 429)
        for s in open_ones:
            s.sendall(b"b")
            self.assertEqual(self.answer(s)[0], 201)
        wait_for(lambda: self.get("f", agent=agent)[0] == 200)

    def test_too_large(self):
        self.assertEqual(self.code(self.node.request("PUT", self.url("f"), b"", headers={"Content-Length": str(257 * MIB)})),
                         (413, "too_large"))

    def test_its_launcher_dies(self):
        agent = "dies"
        self.put("old", b"old", agent=agent)
        s = self.connect()
        s.sendall(self.head("PUT", "old", 10 * MIB, agent) + b"x" * (2 * MIB))
        wait_for(lambda: self.jails() > 0)
        edge = self.edge_child()
        os.kill(edge["launcherPid"], signal.SIGKILL)
        self.assertEqual(self.answer(s)[0], 503)
        wait_for(lambda: self.edge_child()["launcherPid"] not in (edge["launcherPid"], -1))
        self.assertEqual(wait_for(lambda: self.get("old", agent=agent)[0] == 200 and self.get("old", agent=agent)[2]), b"old")
        self.assertEqual(self.edge_child()["pid"], edge["pid"])
        self.assertEqual(self.left(agent), ["old"])


if __name__ == "__main__":
    unittest.main()
