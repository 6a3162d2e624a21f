# SPDX-License-Identifier: Apache-2.0
"""What a program may not change of its workspace: what somebody outside would run or obey."""
import os
import shutil
import unittest

from test_files_api import WithFiles

GIT = "git -c user.name=a -c user.email=a@b"
INIT = "git init -q . && echo one >f && git add f && " + GIT + " commit -qm one"


@unittest.skipUnless(shutil.which("git"), "no git on this machine: SKIPPED, programs' protected paths are not tested")
class Repositories(WithFiles):
    def run_in(self, agent, script):
        out = self.tool("bash", agent, script=script)
        return out["exit"], out["stdout"] + out["stderr"]

    def begin(self, agent, where="."):
        self.assertEqual(self.run_in(agent, f"mkdir -p {where} && cd {where} && {INIT}")[0], 0)

    def read(self, agent, path):
        with open(os.path.join(self.workspace(agent), path)) as f:
            return f.read()

    def refused(self, agent, script):
        status, text = self.run_in(agent, script)
        self.assertNotEqual(status, 0, text)
        return text

    def test_attacks_on_a_repository(self):
        agent = "attacks"
        self.begin(agent)
        config = self.read(agent, ".git/config")
        attacks = [
            "echo evil >.git/hooks/pre-commit", "echo evil >>.git/config", "git config core.hooksPath /tmp", "rm .git/config",
            "mv .git/config x", "mv .git x", "rm -rf .git/hooks; test ! -d .git/hooks", "mv .git/hooks y",
            "mkdir evil && mv -T evil .git/hooks", "echo evil >c && mv -f c .git/config", "ln -f c .git/config",
            "ln .git/config shared && echo evil >>shared", "mv .git old && ln -s old .git", "chmod u+w .git/hooks && touch .git/hooks/x",
            "rm -rf .git", "umount .git/hooks", "mount -o remount,rw .git/config",
            "python3 -c 'import os; os.rename(\".git\", \"z\")'", "cd .git && echo evil >hooks/pre-commit",
            "echo evil >.terabits/policy", "rmdir .terabits", "mv .terabits t", "ln -s . .terabits/x"]
        for attack in attacks:
            self.refused(agent, attack)
        self.assertEqual(self.read(agent, ".git/config"), config)
        self.assertEqual(os.listdir(os.path.join(self.workspace(agent), ".terabits")), [])
        for name in os.listdir(os.path.join(self.workspace(agent), ".git", "hooks")):
            self.assertTrue(name.endswith(".sample"), name)

    def test_git_works(self):
        agent = "works"
        self.begin(agent)
        status, text = self.run_in(agent, f"echo two >>f && {GIT} commit -qam two && git checkout -qb side && echo three >g && git add g && "
                                          f"{GIT} commit -qm three && git checkout -q - && {GIT} merge -q side && git log --oneline | wc -l"
                                          " && git gc -q && git stash list && git tag t && git status --short")
        self.assertEqual((status, text), (0, "3\n"))
        status, text = self.run_in(agent, "mkdir new && cd new && git init -q . && git config a.b c && git config a.b")
        self.assertEqual((status, text), (0, "c\n"))
        self.assertEqual(self.run_in(agent, "git clone -q . /tmp/copy && cd /tmp/copy && git log --oneline | wc -l")[1], "3\n")

    def test_a_nested_one(self):
        agent = "nested"
        self.begin(agent, "a/b")
        self.assertEqual(self.run_in(agent, f"cd a/b && echo two >>f && {GIT} commit -qam two && mkdir ../d && mv f ../d")[0], 0)
        for attack in ("mv a x", "mv a/b a/c", "mv a/b/.git a/b/x", "echo evil >a/b/.git/hooks/pre-commit", "echo evil >>a/b/.git/config",
                       "rm -rf a"):
            self.refused(agent, attack)

    def test_what_is_missing_is_held(self):
        agent = "missing"
        self.begin(agent)
        self.assertEqual(self.run_in("missing", "true")[0], 0)
        git = os.path.join(self.workspace(agent), ".git")
        shutil.rmtree(os.path.join(git, "hooks"))
        self.refused(agent, "mkdir -p .git/hooks && echo evil >.git/hooks/pre-commit")
        self.assertEqual(os.listdir(os.path.join(git, "hooks")), [])

    def test_a_second_name_made_before(self):
        """By the program that made the repository, which nothing protects from it."""
        agent = "links"
        self.assertEqual(self.run_in(agent, f"{INIT} && ln .git/config shared && echo '#!/bin/sh' >.git/hooks/pre-commit && "
                                            "ln .git/hooks/pre-commit hook")[0], 0)
        self.assertEqual(self.run_in(agent, "echo evil >>shared; echo evil >>hook")[0], 0)
        self.assertNotIn("evil", self.read(agent, ".git/config"))
        self.assertEqual(self.read(agent, ".git/hooks/pre-commit"), "#!/bin/sh\n")

    def test_a_git_file_and_links(self):
        agent = "gitfile"
        self.assertEqual(self.run_in(agent, "mkdir w l && echo 'gitdir: ../real' >w/.git && ln -s /etc l/.git && ln -s ../.. l/loop")[0], 0)
        self.refused(agent, "echo 'gitdir: /tmp/evil' >w/.git")
        self.refused(agent, "rm w/.git")
        self.refused(agent, "mv w v")

    def test_modules(self):
        agent = "modules"
        self.begin(agent)
        self.assertEqual(self.run_in(agent, "mkdir -p .git/modules/sub && cp -r .git/HEAD .git/config .git/objects .git/refs .git/modules/sub")[0], 0)
        for attack in ("echo evil >>.git/modules/sub/config", "mv .git/modules/sub .git/modules/x", "touch .git/modules/sub/hooks/x"):
            self.refused(agent, attack)


if __name__ == "__main__":
    unittest.main()
