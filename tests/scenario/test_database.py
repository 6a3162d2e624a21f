# SPDX-License-Identifier: Apache-2.0
"""Migrations, and what a captured worker or edge can do with its database role: nothing it should not."""
import hashlib
import os
import shutil
import subprocess
import threading
import unittest

from node import Node, Psql


def conninfo(node, role):
    with open(os.path.join(node.state, "secrets", role)) as f:
        return f.read().strip()


class Migrations(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)
        self.dir = os.path.join(self.node.dir, "migrations")

    def dump(self):
        return self.node.sql("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (SELECT c.oid::regclass::text, c.relkind,"
                             " c.relacl::text, c.relrowsecurity FROM pg_class c WHERE relnamespace = 'tb'::regnamespace UNION ALL"
                             " SELECT p.oid::regprocedure::text, 'f', p.proacl::text, p.prosecdef FROM pg_proc p"
                             " WHERE pronamespace = 'tb'::regnamespace) t")

    def test_twice_changes_nothing(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        before, secret, token = self.dump(), conninfo(self.node, "tb_worker"), self.node.token()
        applied = self.node.sql("SELECT string_agg(applied_at::text, ' ') FROM tb_meta.migrations")
        p = self.node.ctl("migrate")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.dump(), before)
        self.assertEqual((conninfo(self.node, "tb_worker"), self.node.token()), (secret, token))
        self.assertEqual(self.node.sql("SELECT string_agg(applied_at::text, ' ') FROM tb_meta.migrations"), applied)

    def test_a_changed_old_migration_is_refused(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        with open(os.path.join(self.dir, "0003_sessions_runs.sql"), "a") as f:
            f.write("\n-- a late idea\n")
        p = self.node.ctl("migrate")
        self.assertEqual(p.returncode, 1)
        self.assertIn("0003_sessions_runs.sql", p.stderr)
        self.assertIn("changed", p.stderr)

    def test_one_that_fails_leaves_nothing(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        before = self.dump()
        with open(os.path.join(self.dir, "0013_bad.sql"), "w") as f:
            f.write("-- SPDX-License-Identifier: Apache-2.0\nCREATE TABLE tb.half (x int);\nSELECT nonsense;\n")
        p = self.node.ctl("migrate")
        self.assertEqual(p.returncode, 1)
        self.assertIn("0013_bad.sql", p.stderr)
        self.assertEqual(self.dump(), before)

    def test_two_at_once(self):
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.node.ctl("migrate").returncode)) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, [0, 0, 0])
        self.assertEqual(self.node.sql("SELECT count(*) = max(version) FROM tb_meta.migrations"), "t")

    def test_a_lost_secret_is_made_anew(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        shutil.move(os.path.join(self.node.state, "secrets", "tb_edge"), os.path.join(self.node.dir, "gone"))
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        self.assertEqual(self.node.cluster.psql("-c", "SELECT 1", conninfo=conninfo(self.node, "tb_edge")).stdout.strip(), "1")


class Captured(unittest.TestCase):
    """Two tenants with data each; the roles' own passwords; whatever the roles may say."""
    HIDDEN = ("tenants", "api_tokens", "worker_caps", "nodes")

    @classmethod
    def setUpClass(cls):
        cls.sessions = {}
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        n = cls.node.start()
        secret = "t" * 43
        n.sql("INSERT INTO tb.tenants (tenant_id, slug) VALUES (2, 'second')")
        n.sql("INSERT INTO tb.agents (tenant_id, agent_id, name) VALUES (2, '0192f3a0-0000-7000-8000-000000000002', 'main')")
        n.sql("INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config)"
              " VALUES (2, '0192f3a0-0000-7000-8000-000000000002', 1, '{}')")
        n.sql("INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES (2,"
              f" '0192f3a0-0000-7000-8000-00000000000c', sha256('{secret}'), '{{run,read}}')")
        cls.token2 = f"tb1.2.0192f3a0-0000-7000-8000-00000000000c.{secret}"
        cls.run1, _ = n.run('[tool memory_store {"text":"of one"}] x', session="one")
        status, _, answer = n.post("/v1/agents/main/runs", {"message": '[tool memory_store {"text":"of two"}] x'}, token=cls.token2)
        assert status == 202, answer
        cls.run2 = answer["runId"]
        n.get(f"/v1/runs/{cls.run2}/wait", token=cls.token2)
        # A capability of tenant 1, as a worker that was captured would hold it.
        cls.cap = "captured-capability-16"
        n.sql("INSERT INTO tb.worker_caps (cap_sha256, tenant_id, worker_id, node_id) VALUES "
              f"(sha256('{cls.cap}'), 1, gen_random_uuid(), gen_random_uuid())")
        cls.tables = n.sql("SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'tb'::regnamespace AND relkind IN ('r','p')"
                           " AND NOT relispartition").split()

    def ask(self, role, sql):
        """In a session of the role in which nothing was said before but the same first statements."""
        first = (role, sql.rpartition(";")[0])
        if first not in self.sessions:
            self.sessions[first] = Psql(self.node.cluster, conninfo(self.node, role))
            self.addClassCleanup(self.sessions[first].close)
        said = self.sessions[first].ask(sql)
        return subprocess.CompletedProcess(sql, int("ERROR: " in said), said, said)

    def count(self, role, table, prefix, where="true"):
        p = self.ask(role, f"{prefix} SELECT count(*) FROM tb.{table} WHERE {where}")
        if p.returncode:
            self.assertIn("permission denied", p.stderr)
            return None
        return int(p.stdout.split()[-1])

    def test_a_worker_sees_its_tenant_and_no_other(self):
        cap = f"SELECT set_config('app.cap', '{self.cap}', false);"
        lies = ("", "SELECT set_config('app.cap', 'guessed', false);", "SELECT set_config('app.tenant_id', '2', false);",
                "SELECT set_config('row_security', 'off', false);",
                "CREATE TEMP TABLE worker_caps AS SELECT 1;")
        for table in self.tables:
            for lie in lies[:3]:
                seen = self.count("tb_worker", table, lie)
                self.assertIn(seen, (None, 0), f"{table} after {lie!r}")
            mine = self.count("tb_worker", table, cap)
            if table in self.HIDDEN:
                self.assertIn(mine, (None, 0), table)
            elif mine is not None and table != "blobs":
                foreign = self.count("tb_worker", table, cap + "SELECT set_config('app.tenant_id', '2', false);", "tenant_id = 2")
                self.assertEqual(foreign, 0, table)
        self.assertGreater(self.count("tb_worker", "session_messages", cap), 0)
        for lie in lies[3:]:
            p = self.ask("tb_worker", f"{lie} SELECT count(*) FROM tb.session_messages")
            self.assertTrue(p.returncode != 0 or p.stdout.split()[-1] == "0", f"{lie} {p.stdout}")

    def test_a_shadowed_table_changes_nothing(self):
        self.node.sql("GRANT TEMP ON DATABASE terabits TO tb_worker")
        try:
            p = self.ask("tb_worker", "CREATE TEMP TABLE worker_caps (cap_sha256 bytea, tenant_id bigint, expires_at timestamptz);"
                         " INSERT INTO worker_caps VALUES (sha256('mine'), 2, now() + interval '1 day');"
                         " SELECT set_config('app.cap', 'mine', false); SELECT count(*) FROM tb.session_messages")
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(p.stdout.split()[-1], "0")
        finally:
            self.node.sql("REVOKE TEMP ON DATABASE terabits FROM tb_worker")

    def test_a_worker_writes_through_functions_only(self):
        cap = f"SELECT set_config('app.cap', '{self.cap}', false);"
        for table in self.tables:
            column = self.node.sql(f"SELECT attname FROM pg_attribute WHERE attrelid = 'tb.{table}'::regclass AND attnum = 1")
            for verb in (f"DELETE FROM tb.{table}", f"UPDATE tb.{table} SET {column} = {column}",
                         f"INSERT INTO tb.{table} ({column}) SELECT {column} FROM tb.{table}"):
                p = self.ask("tb_worker", cap + verb)
                self.assertNotEqual(p.returncode, 0, f"{verb} was let through")
                self.assertIn("permission denied", p.stderr, verb)
        for ddl in ("CREATE TABLE tb.x (a int)", "CREATE TABLE public.x (a int)", "CREATE TEMP TABLE x (a int)",
                    "CREATE FUNCTION tb.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "ALTER ROLE tb_worker SUPERUSER",
                    "SET ROLE tb_search", "SET ROLE terabits_owner", "SELECT pg_read_file('/etc/passwd')",
                    "COPY tb.agents TO PROGRAM 'true'", "SELECT tb.cap_revoke(gen_random_uuid())",
                    "SELECT tb.token_mint(gen_random_uuid(), 'x', gen_random_uuid(), '{\"scopes\":[\"admin\"]}', sha256('x'), NULL, NULL)",
                    "SELECT tb.enqueue(gen_random_uuid(), false, '{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}',"
                    "'{}','{}','{}')"):
            p = self.ask("tb_worker", ddl)
            self.assertNotEqual(p.returncode, 0, ddl)

    def test_the_journal_takes_its_authority_from_the_row(self):
        """A captured worker names another tenant's lane and run, with every fence: the item is stale, nothing is written."""
        n = self.node
        with n.model_stopped():
            run = n.post("/v1/agents/main/runs", {"message": "hold"}, token=self.token2)[2]["runId"]
            row = n.rows(f"SELECT q.session_id, q.fence, l.commit_no, l.head_seq FROM tb.agent_run_queue q JOIN tb.lanes l"
                         f" USING (tenant_id, session_id) WHERE q.run_id = '{run}'")[0]
            arguments = int(n.sql("SELECT pronargs FROM pg_proc WHERE pronamespace = 'tb'::regnamespace AND proname = 'journal'"))
            empty = ", ".join(["'{}'"] * (arguments - 6))
            for tenant in (1, 2):
                p = self.ask("tb_worker", f"SELECT outcome FROM tb.journal('{{{tenant}}}', '{{{run}}}', '{{{row['session_id']}}}',"
                             f" '{{{row['fence']}}}', '{{{row['commit_no']}}}', '{{{self.cap}}}', {empty})")
                self.assertEqual((p.returncode, p.stdout.strip()), (0, "stale"), p.stderr)
            self.assertEqual(n.sql(f"SELECT head_seq FROM tb.lanes WHERE session_id = '{row['session_id']}'"), str(row["head_seq"]))
            p = self.ask("tb_worker", f"SELECT tb.memory_store('{self.cap}', '{run}', {row['fence']}, '0192f3a0-0000-7000-8000-000000000002',"
                         " gen_random_uuid(), 'x.md', 'x', '{}', true, 'k')")
            self.assertIn("not a live run", p.stderr)
            p = self.ask("tb_worker", f"SELECT count(*) FROM tb.lane_state('{{2}}', '{{{row['session_id']}}}', '{{{self.cap}}}')")
            self.assertEqual(p.stdout.strip(), "0")
        self.assertEqual(n.get(f"/v1/runs/{run}/wait", token=self.token2)[2]["status"], "ok")

    def test_an_edge_sees_the_tenant_it_names_and_writes_no_journal(self):
        for table in self.tables:
            seen = self.count("tb_edge", table, "")
            self.assertIn(seen, (None, 0), table)
            p = self.ask("tb_edge", f"SELECT set_config('app.tenant_id', '1', false); SELECT count(*) FROM tb.{table} WHERE tenant_id <> 1")
            if p.returncode == 0:
                self.assertEqual(p.stdout.split()[-1], "0", table)
        for verb in ("DELETE FROM tb.session_messages", "UPDATE tb.lanes SET fence = fence + 1", "DELETE FROM tb.agent_run_queue",
                     "INSERT INTO tb.api_tokens SELECT * FROM tb.api_tokens", "UPDATE tb.tenants SET max_running = 1",
                     "INSERT INTO tb.agent_runs SELECT * FROM tb.agent_runs",
                     "INSERT INTO tb.lanes (tenant_id, session_id) VALUES (1, gen_random_uuid())",
                     "INSERT INTO tb.agent_sessions SELECT * FROM tb.agent_sessions"):
            p = self.ask("tb_edge", "SELECT set_config('app.tenant_id', '1', false); " + verb)
            self.assertIn("permission denied", p.stderr, verb)

    def test_the_supervisor_reads_no_text(self):
        for table in ("session_messages", "agent_memory_entries", "api_tokens", "provider_keys", "agent_revisions"):
            p = self.ask("tb_supervisor", f"SELECT * FROM tb.{table} LIMIT 1")
            self.assertIn("permission denied", p.stderr, table)

    def test_definer_functions_pin_their_path_and_are_nobodys(self):
        loose = self.node.sql("SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p WHERE pronamespace = 'tb'::regnamespace"
                              " AND prosecdef AND NOT coalesce(proconfig::text, '') LIKE '%search_path=pg_catalog, tb, pg_temp%'")
        self.assertEqual(loose, "")
        public = self.node.sql("SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p WHERE pronamespace = 'tb'::regnamespace"
                               " AND has_function_privilege('public', p.oid, 'EXECUTE')")
        self.assertEqual(public, "")

    def test_every_table_has_one_policy_a_role(self):
        rows = self.node.sql("SELECT count(*) FROM pg_class c WHERE relnamespace = 'tb'::regnamespace AND relkind IN ('r', 'p')"
                             " AND NOT relispartition AND NOT relrowsecurity")
        self.assertEqual(rows, "0")
        double = self.node.sql("SELECT string_agg(x, ' ') FROM (SELECT tablename || '/' || r AS x FROM pg_policies, unnest(roles) r"
                               " WHERE schemaname = 'tb' AND permissive = 'PERMISSIVE' AND cmd <> 'SELECT' GROUP BY 1 HAVING count(*) > 1"
                               " UNION ALL SELECT tablename FROM pg_policies WHERE schemaname = 'tb' AND 'public' = ANY(roles)) y")
        self.assertEqual(double, "")

    def test_hashes_not_secrets_are_kept(self):
        self.assertNotIn(hashlib.sha256(b"").hexdigest(), "")
        secret = self.node.token().rsplit(".", 1)[1]
        found = self.node.sql(f"SELECT count(*) FROM tb.api_tokens WHERE encode(secret_sha256, 'escape') LIKE '%{secret}%'")
        self.assertEqual(found, "0")


if __name__ == "__main__":
    unittest.main()
