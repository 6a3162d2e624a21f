# SPDX-License-Identifier: Apache-2.0
"""Workspaces that the file system counts: each a project with limits of its own, on a node that root started. Where TB_TMP is on a file
system with project quotas, as TB_PROJECT_QUOTAS says: scripts/vm-test."""
import os
import unittest

from node import wait_for
from test_files_api import MIB, WithFiles
from test_privileges import LAUNCHER, capabilities, mask


@unittest.skipUnless(os.environ.get("TB_PROJECT_QUOTAS") and os.getuid() == 0, "root, and a file system with project quotas, are needed")
class ByTheKernel(WithFiles):
    as_root = True
    env = {"TERABITS_WORKSPACE_BYTES": str(8 * MIB), "TERABITS_WORKSPACE_FILES": "100"}

    def tearDown(self):
        self.assertNotIn("project-quota-refused", self.node.log())
        pid = self.node.find_daemon()
        self.assertEqual(capabilities(pid)[0], mask("kill", "chown"))  # what set the limits was put down again
        self.assertIn("sys_admin", LAUNCHER)
        super().tearDown()

    def test_bytes(self):
        out = self.tool("bash", "bytes", script="head -c 20000000 /dev/zero >f; echo $?; stat -c %s f; sleep 1.2; echo still here")
        status, size, last = out["stdout"].splitlines()
        self.assertEqual((status, last), ("1", "still here"))
        self.assertLessEqual(int(size), 8 * MIB)
        self.assertGreater(int(size), 7 * MIB)
        self.assertIn("Disk quota exceeded", out["stderr"])
        out = self.tool("write", "bytes", path="more", content="x" * 10000)
        self.assertIn("the workspace is full; delete what is not needed", out["error"])
        self.assertEqual(self.code(self.put("more", b"x" * 100000, agent="bytes")), (507, "quota"))
        # Another one has its own, and what is removed makes room.
        self.assertEqual(self.tool("bash", "beside", script="head -c 5000000 /dev/zero >f && echo written")["stdout"], "written\n")
        self.assertEqual(self.remove("f", agent="bytes")[0], 200)
        self.assertEqual(self.put("more", b"x" * 100000, agent="bytes")[0], 201)

    def test_files(self):
        out = self.tool("bash", "files", script="for i in $(seq 300); do : >f$i || break; done; ls | wc -l; mkdir d; ln -s x l; ln f1 hard; ls hard")
        lines = out["stdout"].split()
        self.assertTrue(90 <= int(lines[0]) <= 100, out)
        self.assertEqual(lines[1], "hard")  # a second name is no second file
        self.assertEqual(out["stderr"].count("Disk quota exceeded"), 3, out)
        self.assertIn("the workspace is full", self.tool("write", "files", path="more", content="x")["error"])
        self.assertEqual(self.code(self.put("more", b"x", agent="files")), (507, "quota"))
        self.assertEqual(self.put("g", b"x", agent="beside")[0], 201)
        self.assertEqual(self.tool("bash", "files", script="rm f*; : >f && echo room")["stdout"], "room\n")

    def test_it_stays_one_and_follows_its_agent(self):
        """A second run, a narrower agent, the end of the workspace."""
        agent = "narrow"
        self.agents[agent] = self.agent(tools=self.tools, workspaceBytes=MIB, workspaceFiles=20)
        for _ in range(2):
            out = self.tool("bash", agent, script="head -c 3000000 /dev/zero >f; stat -c %s f; for i in $(seq 30); do : >g$i; done; ls | wc -l")
            size, files = map(int, out["stdout"].split())
            self.assertTrue(MIB // 2 < size <= MIB and 15 <= files <= 20, out)
        place = self.workspace(agent)
        wait_for(lambda: self.node.ctl("workspace", "remove", self.runner(agent), "--tenant", "default", "--yes").returncode == 0)
        wait_for(lambda: not os.path.exists(place) and not os.listdir(os.path.join(self.node.state, "workspaces", ".trash")))
        out = self.tool("bash", agent, script="head -c 500000 /dev/zero >f && echo written; head -c 3000000 /dev/zero >f; stat -c %s f")
        self.assertIn("written\n", out["stdout"])
        self.assertLessEqual(int(out["stdout"].split()[1]), MIB)

    def test_a_program_cannot_leave_its_project(self):
        """What an owner may ask of the kernel elsewhere."""
        ask = ("import fcntl, os, struct\nd = os.open('.', os.O_RDONLY)\nx = bytearray(28)\n"
               "try:\n fcntl.ioctl(d, 0x801c581f, x)\n print('read')\nexcept OSError as e: print(e.errno)\n"
               "try:\n fcntl.ioctl(d, 0x401c5820, bytes(28))\n print('left')\nexcept OSError as e: print(e.errno)\n")
        out = self.tool("exec", "leaves", argv=["python3", "-c", ask])
        self.assertEqual(out["stdout"].split()[1:], ["1"], out)


if __name__ == "__main__":
    unittest.main()
