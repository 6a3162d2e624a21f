# SPDX-License-Identifier: Apache-2.0
"""Provider keys and cooldowns: their functions, asked directly as the roles that may."""
import hashlib

import test_journal_sql as journal
from test_journal_sql import Refused, literal, uuid7

together = True
NIL = "00000000-0000-0000-0000-000000000000"


class Keys(journal.WithDatabase):
    """Workers of tenant 1 and 2, each with a capability."""
    CAPS = {1: "cap-of-1", 2: "cap-of-2"}

    def setUp(self):
        self.root.ask("DELETE FROM tb.provider_cooldowns; DELETE FROM tb.provider_keys;"
                      "INSERT INTO tb.tenants (tenant_id, slug) VALUES (2, 'two') ON CONFLICT DO NOTHING;")
        for tenant, cap in self.CAPS.items():
            self.root.ask("INSERT INTO tb.worker_caps (cap_sha256, tenant_id, worker_id, node_id) VALUES"
                          f" ({literal(hashlib.sha256(cap.encode()).digest())}, {tenant}, '{uuid7()}', '{journal.NODE}') ON CONFLICT DO NOTHING;")

    def key(self, tenant, provider="openai", label=None):
        key = uuid7()
        out = self.root.ask(f"SELECT tb.provider_key_add({tenant}, '{key}', '{provider}', {literal(label)}, NULL, NULL, false, 0::smallint,"
                            f" '\\xaa', '\\xbb', 'abcd', '{uuid7()}', 'ann');")
        self.assertEqual(out, "done")
        return key

    def ask(self, tenant, sql):
        """As the worker of that tenant."""
        self.worker.ask(f"BEGIN; SELECT set_config('app.cap', '{self.CAPS.get(tenant, 'none')}', true);")
        try:
            out = self.worker.rows(sql)
            self.worker.ask("COMMIT;")
            return out
        except Refused:
            self.worker.ask("ROLLBACK;")
            raise

    def note(self, tenant, key, reason="model_rate_limit", floor_s=0, model="gpt", provider="openai"):
        """Seconds until it is over, and how many failures."""
        (row,) = self.ask(tenant, f"SELECT round(extract(epoch FROM tb.cooldown_note('{provider}', '{model}', '{key}', '{reason}',"
                                  f" {floor_s * 1000000}::bigint) - now())) AS left")
        return row["left"]

    def known(self, tenant):
        return {(r["provider"], r["model"], r["key_id"]): (r["failures"], round(r["left_us"] / 1e6))
                for r in self.ask(tenant, "SELECT * FROM tb.cooldowns(NULL)")}

    def over(self):
        """Time passes."""
        self.root.ask("UPDATE tb.provider_cooldowns SET until_at = now() - interval '1 second';")

    def test_steps(self):
        self.assertEqual(self.note(1, NIL), 30)
        self.assertEqual(self.note(1, NIL), 30)  # the herd counts once
        self.assertEqual(self.known(1), {("openai", "gpt", NIL): (1, 30)})
        for left in (60, 300, 300):
            self.over()
            self.assertEqual(self.note(1, NIL), left)
        self.over()
        self.assertEqual(self.known(1), {("openai", "gpt", NIL): (4, 0)})
        self.ask(1, f"SELECT tb.cooldown_clear('openai', 'other', '{NIL}')")
        self.assertEqual(len(self.known(1)), 1)
        self.ask(1, f"SELECT tb.cooldown_clear('openai', 'gpt', '{NIL}')")
        self.assertEqual(self.known(1), {})
        self.assertEqual(self.note(1, NIL), 30)

    def test_the_first_time_the_provider_s_word_counts(self):
        self.assertEqual(self.note(1, NIL, floor_s=5), 5)
        self.over()
        self.assertEqual(self.note(1, NIL, floor_s=5), 60)
        self.assertEqual(self.note(1, NIL, "model_auth", floor_s=5), 600)

    def test_floor(self):
        self.assertEqual(self.note(1, NIL, floor_s=90), 90)
        self.assertEqual(self.note(1, NIL, floor_s=5), 90)
        self.assertEqual(self.note(1, NIL, floor_s=200), 200)
        self.assertEqual(self.note(1, NIL, floor_s=10**9), 86400)

    def test_a_refused_key_is_so_for_every_model(self):
        for reason in ("model_auth", "model_billing"):
            self.assertEqual(self.note(1, NIL, reason), 600)
        self.assertEqual(list(self.known(1)), [("openai", "", NIL)])
        self.ask(1, f"SELECT tb.cooldown_clear('openai', 'any', '{NIL}')")
        self.assertEqual(self.known(1), {})

    def test_whose(self):
        own, platform = self.key(1), self.key(0)
        self.note(1, own)
        self.note(1, platform, model="p")
        self.note(1, NIL, model="n")
        shared = {("openai", "p", platform): (1, 30), ("openai", "n", NIL): (1, 30)}
        self.assertEqual(self.known(1), {("openai", "gpt", own): (1, 30), **shared})
        self.assertEqual(self.known(2), shared)  # what is everybody's, and nothing of tenant 1
        self.assertIsNone(self.note(2, own))  # not its key
        self.ask(2, f"SELECT tb.cooldown_clear('openai', 'gpt', '{own}')")
        self.assertEqual(len(self.known(1)), 3)
        self.assertIsNone(self.note(1, uuid7()))
        self.assertIsNone(self.note(1, own, provider="gemini"))

    def test_no_capability(self):
        for sql in (f"SELECT tb.cooldown_note('openai', 'gpt', '{NIL}', 'model_auth', 0::bigint)",
                    f"SELECT tb.cooldown_clear('openai', 'gpt', '{NIL}')"):
            with self.assertRaisesRegex(Refused, "TB003"):
                self.ask(3, sql)
        self.note(1, NIL)
        self.assertEqual(self.ask(3, "SELECT * FROM tb.cooldowns(NULL)"), [])

    def test_another_secret_begins_anew(self):
        key = self.key(1)
        for change in ("NULL, NULL, '\\xcc', '\\xbb', 'wxyz', NULL, NULL, false", "true, NULL, NULL, NULL, NULL, NULL, NULL, NULL"):
            self.note(1, key, "model_auth")
            self.note(1, NIL)
            (row,) = self.root.rows(f"SELECT * FROM tb.provider_key_change(1, '{key}', 'openai', NULL, {change}, NULL, '{uuid7()}', 'ann')")
            self.assertEqual(row["outcome"], "done")
            self.assertEqual(list(self.known(1)), [("openai", "gpt", NIL)])
            self.root.ask("DELETE FROM tb.provider_cooldowns;")
        self.note(1, key, "model_auth")
        self.root.ask(f"SELECT * FROM tb.provider_key_change(1, '{key}', 'openai', 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,"
                      f" '{uuid7()}', 'ann');")
        self.assertEqual(len(self.known(1)), 1)  # another label is no other secret

    def test_labels_and_how_many(self):
        self.key(1, label="main")
        add = "SELECT tb.provider_key_add({t}, '{k}', '{p}', {l}, NULL, NULL, false, 0::smallint, '\\xaa', '\\xbb', 'abcd', '{a}', 'ann');"
        self.assertEqual(self.root.ask(add.format(t=1, k=uuid7(), p="openai", l="'main'", a=uuid7())), "taken")
        self.assertEqual(self.root.ask(add.format(t=1, k=uuid7(), p="gemini", l="'main'", a=uuid7())), "done")
        for _ in range(62):
            self.key(1)
        self.assertEqual(self.root.ask(add.format(t=1, k=uuid7(), p="openai", l="NULL", a=uuid7())), "full")
        self.key(2)

    def test_the_edge_writes_what_it_cannot_read(self):
        key = self.key(1)
        self.edge.ask("BEGIN; SELECT set_config('app.tenant_id', '1', true);")
        self.assertEqual([k["id"] for k in self.edge.rows("SELECT * FROM jsonb_to_recordset(tb.provider_keys_json(1, 'openai', NULL)) x(id text)")],
                         [key])
        self.assertEqual(self.edge.ask("SELECT tb.provider_keys_json(0, NULL, NULL);"), "[]")
        with self.assertRaisesRegex(Refused, "42501"):
            self.edge.ask("SELECT sealed FROM tb.provider_keys;")
        self.edge.ask("ROLLBACK;")
        self.edge.ask("BEGIN; SELECT set_config('app.tenant_id', '2', true);")
        (row,) = self.edge.rows(f"SELECT * FROM tb.provider_key_remove(1, '{key}', 'openai', NULL, '{uuid7()}', 'eve')")
        self.assertEqual(row["outcome"], "absent")
        self.edge.ask("ROLLBACK;")

    def test_whose_keys_a_worker_reads(self):
        own, platform, other = self.key(1), self.key(0), self.key(2)
        read = "SELECT key_id FROM tb.provider_keys ORDER BY key_id"
        self.assertEqual({r["key_id"] for r in self.ask(1, read)}, {own, platform})
        self.assertEqual({r["key_id"] for r in self.ask(2, read)}, {other, platform})
        self.assertEqual(self.ask(3, read), [])
