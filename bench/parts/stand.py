# SPDX-License-Identifier: Apache-2.0
"""The stand a part measures on: a cluster, a fake model and a node of its own, the load client, and what /proc says of them."""
import glob
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "scenario"))
import node as scenario_node  # noqa: E402

wait_for = scenario_node.wait_for
CAP = 10000  # runs at once, of tenant and agent: the defaults are for tenants that share a node; here they have it alone


class NotThere(Exception):
    """The node does not know what was asked of it."""


def cpu_ns(pid):
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            with open(path) as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) for line in f if line.startswith("VmRSS")), 0)


def children_of(pid):
    out = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as f:
                text = f.read()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == pid:
            out.append(int(path.split("/")[2]))
    return out


def quantile(values, q):
    values = sorted(values)
    return values[int((len(values) - 1) * q)] if values else 0


class Stand:
    """With `with`. tenants > 1: the further ones are copies of the first, and each has a token in token_file."""

    def __init__(self, options, workers=1, tenants=1, env=None):
        self.options = options
        self.seconds = options.seconds
        self.node = scenario_node.Node(build=options.build, model="fake", workers=workers, fsync=True, env=env)
        self.load_program = os.path.join(options.build, "bench", "bench_load")
        self.token_file = self.node.token_file
        try:
            self.node.start_fake()
            p = self.node.ctl("migrate")
            if p.returncode:
                raise SystemExit(f"bench: migrate: {p.stderr}")
            self.sql(f"UPDATE tb.tenants SET max_running = {CAP}, max_queued = 1000000 WHERE tenant_id > 0;"
                     f" UPDATE tb.agents SET max_running = {CAP}")
            if tenants > 1:
                self.add_tenants(tenants)
            self.node.start_daemon()
            self.node.wait_ready()
        except BaseException:
            self.node.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.node.close()

    def sql(self, text):
        return self.node.sql(text)

    def rows(self, query):
        return self.node.rows(query)

    def script(self, text):
        """Several statements, each a transaction."""
        return self.node.cluster.psql("-f", "-", input=text).stdout.strip()

    # ---- tenants

    def add_tenants(self, tenants):
        made = [(t, str(uuid.uuid4()), secrets.token_urlsafe(32)) for t in range(2, tenants + 1)]
        values = ",".join(f"({t}, '{id}'::uuid, '\\x{hashlib.sha256(secret.encode()).hexdigest()}'::bytea)" for t, id, secret in made)
        self.script(f"""
            INSERT INTO tb.tenants (tenant_id, slug, max_running, max_queued)
              SELECT g, 'bench-' || g, {CAP}, 1000000 FROM generate_series(2, {tenants}) g;
            INSERT INTO tb.agents (tenant_id, agent_id, name, revision, max_running)
              SELECT g, gen_random_uuid(), 'main', 1, {CAP} FROM generate_series(2, {tenants}) g;
            INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)
              SELECT a.tenant_id, a.agent_id, 1, r.config, 'bench' FROM tb.agents a JOIN tb.agent_revisions r ON r.tenant_id = 1
               WHERE a.tenant_id > 1 AND r.revision = 1;
            INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile)
              SELECT tenant_id, agent_id, 'full' FROM tb.agents WHERE tenant_id > 1;
            INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes)
              SELECT v.*, ARRAY['run', 'read', 'write', 'admin'] FROM (VALUES {values}) v;""")
        self.token_file = os.path.join(self.node.dir, "tokens")
        with open(self.token_file, "w") as f:
            f.write(self.node.token() + "\n" + "".join(f"tb1.{t}.{id}.{secret}\n" for t, id, secret in made))

    # ---- what the processes use

    def snapshot(self):
        cpu = {name: sum(cpu_ns(pid) for pid in pids) for name, pids in self.node.pids().items()}
        # Ended backends are lost: the node's are long-lived.
        cpu["postgres"] = sum(cpu_ns(pid) for pid in children_of(self.node.postmaster_pid()))
        return cpu

    def rss(self):
        return {name: sum(rss_kib(pid) for pid in pids) for name, pids in self.node.pids().items()}

    def transactions(self):
        """The next transaction id: reads take none."""
        return int(self.sql("SELECT pg_snapshot_xmax(pg_current_snapshot())"))

    # ---- load

    def load(self, mode, tokens=None, during=None, **keys):
        """Runs the load client; its report with CPU microseconds and transaction ids a turn. `during` is called beside the measured
        time, its value is the report's "during"."""
        keys.setdefault("ms", int(self.seconds * 1000))
        cmd = [self.load_program, mode, str(self.node.port), tokens or self.node.token_file, *(f"{k}={v}" for k, v in keys.items())]
        before = after = report = xid = None
        side, thread = {}, None

        def beside():
            try:
                side["value"] = during()
            except BaseException as e:  # noqa: BLE001 - raised again by the caller
                side["error"] = e

        with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True) as p:
            for line in p.stdout:
                if line.startswith("START"):
                    before, xid = self.snapshot(), self.transactions()
                    if during:
                        thread = threading.Thread(target=beside)
                        thread.start()
                elif line.startswith("END"):
                    after, xid = self.snapshot(), self.transactions() - xid
                    report = json.loads(line[4:])
        if thread:
            thread.join()
            if "error" in side:
                raise side["error"]
        if p.returncode or report is None:
            raise RuntimeError(f"the load client failed: {' '.join(cmd[1:])}; the node says:\n{self.node.tail(5)}")
        n = max(1, report["n"])
        report["cpu_us"] = {k: round((after[k] - before.get(k, 0)) / 1e3 / n, 1) for k in after}
        report["transactions"] = round(xid / n, 3)
        report["during"] = side.get("value")
        return report

    def windows(self, times, warm, **keys):
        """Acknowledgements under a paced load, `times` times half as long as a measure: the medians of the quantiles, and each report.
        Sessions are warmed before the first; scatter=1: each window takes others."""
        rows = []
        for i in range(times):
            if keys.get("scatter"):
                keys["first"] = i * keys["sessions"] // times
            rows.append(self.load("paced", warm=0 if i else warm, ms=max(1000, int(self.seconds * 500)), **keys))
        return {"windows": rows, **{q: quantile([r[q] for r in rows], 0.5) for q in ("ack_p50_us", "ack_p99_us")}}

    def grow(self, sessions):
        """Makes the sessions, and analyses the tables as autovacuum does within a minute: plans made before they grew would be measured."""
        self.load("turns", lanes=64, sessions=sessions, ms=1000)
        self.sql("ANALYZE")

    # ---- the admin socket

    def admin(self, cmd, **args):
        """NotThere when the command is unknown, RuntimeError at any other error."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(os.path.join(self.node.state, "admin.sock"))
            s.sendall(json.dumps({"cmd": cmd, **({"args": args} if args else {})}).encode() + b"\n")
            answer = json.loads(s.makefile().readline())
        if "error" in answer:
            if "unknown command" in answer["error"]:
                raise NotThere(cmd)
            raise RuntimeError(f"{cmd}: {answer['error']}")
        return answer

    def serving(self):
        def ready():
            try:
                status = self.admin("status")
                return status["state"] == "serving" and all(c["state"] == "ready" for c in status["children"])
            except (OSError, ValueError):
                return False
        wait_for(ready, 60)

    # ---- life

    def kill_node(self):
        """Returns when the supervisor and all its children are gone."""
        self.node.daemon.kill()
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids(), 20)

    def start_node(self):
        """Seconds from exec until /readyz answers 200."""
        began = time.monotonic()
        self.node.start_daemon()
        wait_for(self.is_ready, 120, 0.003)
        return time.monotonic() - began

    def is_ready(self):
        try:
            return self.node.get("/readyz", token="")[0] == 200
        except (OSError, scenario_node.http.client.HTTPException):
            return False

    def log_from(self, offset):
        return self.node.log()[offset:]
