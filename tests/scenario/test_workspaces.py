# SPDX-License-Identifier: Apache-2.0
"""Workspaces as wholes: how full they may be, one a session, by the command line, and their end."""
import json
import os
import unittest

from node import wait_for
from test_files_api import MIB, WithFiles


class Quotas(WithFiles):
    env = {"TERABITS_WORKSPACE_BYTES": str(20 * MIB), "TERABITS_WORKSPACE_FILES": "500"}

    def test_bytes_by_tools(self):
        out = self.tool("bash", "bytes", script="echo begun; for i in 1 2 3 4 5 6; do head -c 5000000 /dev/zero >f$i; done; sleep 60", timeout_s=50)
        self.assertRegex(out["error"], r"^the workspace is over its quota: \d+ of 20971520 bytes; remove files$")
        self.assertEqual(out["stdout"], "begun\n")
        for name, arguments in (("write", {"content": "x"}), ("edit", {"old_text": "x", "new_text": "y"})):
            out, row = self.facts(name, agent="bytes", path="more", **arguments)
            self.assertRegex(out["error"], r"^the workspace is over its quota: \d+ of 20971520 bytes; remove files$")
            self.assertEqual((row["state"], row["error_class"]), ("error", "quota"))
        self.assertEqual(self.code(self.put("more", b"x", agent="bytes")), (507, "quota"))
        # What is full may be emptied, by a program and from outside.
        self.assertEqual(self.tool("bash", "bytes", script="rm f1; ls | wc -l; sleep 1.2")["exit"], 0)
        self.assertEqual(self.remove("f2", agent="bytes")[0], 200)
        self.assertEqual(self.put("more", b"x", agent="bytes")[0], 201)
        self.assertEqual(self.tool("bash", "bytes", script="cat more; sleep 1.2")["stdout"], "x")

    def test_files_by_tools(self):
        out, row = self.facts("bash", agent="files", script="for i in $(seq 700); do : >f$i; done; sleep 60", timeout_s=50)
        self.assertRegex(out["error"], r"^the workspace is over its quota: \d+ of 500 files; remove files$")
        self.assertEqual((row["state"], row["error_class"]), ("completed", "quota"))
        self.assertEqual(self.code(self.put("more", b"x", agent="files")), (507, "quota"))
        self.assertEqual(self.tool("bash", "files", script="rm f*; ls | wc -l")["stdout"], "0\n")
        self.assertEqual(self.put("more", b"x", agent="files")[0], 201)

    def test_what_is_too_deep_or_closed(self):
        out = self.tool("bash", "deep", script="for i in $(seq 200); do mkdir d; cd d; done; sleep 60", timeout_s=50)
        self.assertIn("nested deeper than 128", out["error"])
        self.assertEqual(self.remove("d", agent="deep", recursive="true")[0], 200)
        self.assertEqual(self.left("deep"), [])
        out = self.tool("bash", "deep", script="mkdir c; for i in 1 2 3; do head -c 10000000 /dev/zero >c/$i; done; chmod 0 c; sleep 60",
                        timeout_s=50)
        self.assertIn("of 20971520 bytes", out["error"])

    def test_uploads(self):
        agent = "uploads"
        self.assertEqual(self.put("a", b"x" * (12 * MIB), agent=agent)[0], 201)
        status, _, answer = self.put("b", b"x" * (12 * MIB), agent=agent)
        self.assertEqual((status, answer["error"]["code"]), (507, "quota"))
        self.assertIn("remove files", answer["error"]["message"])
        self.assertEqual(self.left(agent), ["a"])
        status, _, answer = self.put("b", b"x" * (6 * MIB), agent=agent)
        self.assertEqual(status, 201, answer)
        self.assertEqual(self.get("b", agent=agent)[2], b"x" * (6 * MIB))
        # Who was refused and asks for less at once finds all that is left.
        for i in range(8):
            self.assertEqual(self.code(self.put("c", b"x" * (4 * MIB), agent=agent)), (507, "quota"))
            self.assertIn(self.put("d", b"x" * MIB, agent=agent)[0], (200, 201), i)


class Sessions(WithFiles):
    def setUp(self):
        if "by-session" not in self.agents:
            self.agents["by-session"] = self.agent(tools=self.tools, workspace="session")
            self.agents["small"] = self.agent(tools=self.tools, workspaceBytes=MIB, workspaceFiles=50)

    def test_each_has_its_own(self):
        agent = "by-session"
        for key in ("s1", "s2"):
            self.tool("bash", agent, session=key, script=f"echo {key} >who; ls")
        for key in ("s1", "s2"):
            self.assertEqual(self.get("who", agent=agent, session=key)[2], f"{key}\n".encode())
            self.assertEqual(self.paths(agent=agent, session=key), ["who"])
        self.assertEqual(self.get("who", agent=agent)[0], 400)
        self.assertEqual(self.get("who", agent=agent, session="none")[0], 404)
        self.assertEqual(self.get("who", agent="one", session="s1")[0], 400)
        places = self.node.ctl("workspace", "list", "--agent", self.runner(agent), "--tenant", "default", "-o", "json")
        rows = json.loads(places.stdout)["workspaces"]
        self.assertEqual([(r["files"], bool(r["session"])) for r in rows], [(2, True), (2, True)])  # and .terabits
        p = self.node.ctl("workspace", "remove", self.runner(agent), "--tenant", "default", "--session", "s1", "--yes")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.get("who", agent=agent, session="s1")[0], 404)
        self.assertEqual(self.get("who", agent=agent, session="s2")[2], b"s2\n")
        self.node.ctl("workspace", "remove", self.runner(agent), "--tenant", "default", "--yes")
        self.assertEqual(self.get("who", agent=agent, session="s2")[0], 404)

    def test_an_agents_own_quota(self):
        self.assertEqual(self.put("f", b"x" * (2 * MIB), agent="small")[0], 507)
        self.assertIn("of 1048576 bytes", self.tool("bash", "small", script="head -c 3000000 /dev/zero >f; sleep 60", timeout_s=50)["error"])


class Operators(WithFiles):
    def ctl(self, *args, input=None):
        p = self.node.ctl("files", *args, input=input)
        return p.returncode, p.stdout, p.stderr

    def test_files_by_the_command_line(self):
        agent, here = self.runner("cli"), os.path.join(self.node.dir, "local")
        self.assertEqual(self.ctl("put", agent, "dir/a.txt", "-", input="from the input\n"), (0, "", ""))
        self.assertEqual(self.ctl("get", agent, "dir/a.txt"), (0, "from the input\n", ""))
        self.assertEqual(self.ctl("get", agent, "dir/a.txt", "/nonexistent/x")[0], 1)
        self.assertEqual(self.ctl("get", agent, "none", here)[0], 3)
        self.assertFalse(os.path.exists(here) or os.path.exists(here + ".part"))
        with open(here, "wb") as f:
            f.write(os.urandom(5 * MIB))
        os.chmod(here, 0o644)
        self.assertEqual(self.ctl("put", agent, "large file", here), (0, "", ""))
        with open(here, "rb") as f:
            self.assertEqual(self.get("large file", agent="cli")[2], f.read())
        code, out, _ = self.ctl("list", agent, "--all")
        self.assertEqual(code, 0)
        self.assertEqual([line.split(maxsplit=4)[0] for line in out.splitlines()[1:]], ["directory", "file", "file"])
        self.assertIn("dir/a.txt", out)
        self.assertEqual(self.ctl("remove", agent, "dir")[0], 1)
        self.assertEqual(self.ctl("remove", agent, "dir", "--recursive")[0], 0)
        self.assertEqual(self.paths(agent="cli"), ["large file"])

    def test_one_that_is_used_stays(self):
        agent = self.runner("used")
        self.put("f", b"x", agent="used")
        run = self.post('[tool bash {"script":"sleep 300"}] go', "use-it", agent=agent)
        wait_for(lambda: self.calls(run) == [("bash", "running")])
        args = ("workspace", "remove", agent, "--tenant", "default", "--yes")
        wait_for(lambda: self.node.admin("workspace.list", {"tenant": "default", "agent": agent})["workspaces"][0]["used"])
        p = self.node.ctl(*args)
        self.assertEqual(p.returncode, 1)
        self.assertIn("uses it now", p.stderr)
        self.cancel(run)
        self.ended(run)
        wait_for(lambda: self.node.ctl(*args).returncode == 0)
        self.assertEqual(self.paths(agent="used"), [])
        self.assertEqual(self.node.ctl(*args).returncode, 0)
        self.assertEqual(self.node.ctl(*args).returncode, 3)
        rows = self.node.rows("SELECT actor, object FROM tb.audit_log WHERE action = 'workspace.remove'")
        self.assertTrue(rows)

    def test_a_removal_goes_on_after_a_crash(self):
        self.tool("bash", "crash", script="for i in $(seq 60); do mkdir d; cd d; : >f; done; cd /workspace; mkdir e; : >e/f; chmod 0 e")
        trash = os.path.join(self.node.state, "workspaces", ".trash")
        os.makedirs(trash, mode=0o700, exist_ok=True)
        place = self.workspace("crash")
        self.node.kill("supervisor")
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids())
        os.rename(place, os.path.join(trash, "019ad000-0000-7000-8000-000000000001"))
        st = os.stat(self.node.state)
        os.chown(trash, st.st_uid, st.st_gid)
        self.node.start_daemon()
        self.node.wait_ready()
        wait_for(lambda: os.listdir(trash) == [])


if __name__ == "__main__":
    unittest.main()
