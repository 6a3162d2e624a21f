# SPDX-License-Identifier: Apache-2.0
"""Durable acceptance: how many messages a second are acknowledged, beside what single INSERTs reach."""
from parts.disk import fdatasync_us
from parts.report import Section, ms
from parts.stand import Stand
from parts.yardstick import Yardstick

SESSIONS = 8192  # at most 20 messages of one may wait, 100,000 of a node: all that is measured here together has to be less
FRESH = 1000
LANES = 64
ANALYZE = "ANALYZE tb.lanes; ANALYZE tb.agent_sessions; ANALYZE tb.agent_run_queue; ANALYZE tb.run_inputs; ANALYZE tb.agent_runs;"


def run(options):
    """Runs that start keep their model waiting, the rest stays queued: what is measured is acceptance alone. queueMode followup, so
    that no message joins a run."""
    s = Section("enqueue", "Durable enqueues")
    with Stand(options) as stand:
        disk = fdatasync_us(stand.node.dir)
        yard = Yardstick(stand)
        yard.inserts()
        common = dict(lanes=LANES, queue="followup")
        stand.load("enqueue", sessions=FRESH, count=FRESH, ms=20000, tag="open", **common)
        fresh = stand.load("enqueue", sessions=FRESH, tag="open", ms=1000, count=10000, **common)
        # From here as any node is that autovacuum has visited once.
        stand.script(ANALYZE)
        stand.load("enqueue", sessions=SESSIONS, count=SESSIONS, ms=30000, tag="open", **common)
        stand.script(ANALYZE)
        rows = {"into open sessions": stand.load("enqueue", sessions=SESSIONS, tag="open", count=40000, **common),
                "each opening a session": stand.load("enqueue", sessions=10**8, tag="new", ms=int(options.seconds * 500), count=30000, **common),
                "into open sessions, tables never analysed": fresh}
        yard.inserts()
    c16 = yard.mean("C16")
    s.table(["64 connections", "acks/s", "of C16", "ack p50 ms", "ack p99 ms", "transactions each", "refused", "supervisor us", "edge us",
             "Postgres us"],
            [[name, r["per_s"], r["per_s"] / c16, ms(r["p50_us"]), ms(r["p99_us"]), r["transactions"], r["refused"],
              r["cpu_us"]["supervisor"], r["cpu_us"]["edge"], r["cpu_us"]["postgres"]] for name, r in rows.items()])
    s.say(f"pgbench, one durable row a transaction, before and after: C1 {yard.text('C1')}/s, C16 {yard.text('C16')}/s. fdatasync of 8 kB: "
          f"p50 {disk[0]:.0f} us, p99 {disk[1]:.0f} us.")
    s.at_least("durable enqueues into open sessions, of C16", round(rows["into open sessions"]["per_s"] / c16, 2), 0.35)
    s.keep(fdatasync_p50_us=disk[0], fdatasync_p99_us=disk[1], pgbench=yard.seen, **{k.replace(",", "").replace(" ", "_"): r for k, r in rows.items()})
    return s
