# SPDX-License-Identifier: Apache-2.0
"""A deep queue: what 100,000 waiting runs cost those who do not wait, in time, memory and at a restart."""
import re
import threading
import time

from parts.report import Section, ms
from parts.stand import NotThere, Stand, quantile, wait_for

FEW = 100
A_LANE = 10  # runs of one lane: the bound is 20
RATE = 500
WINDOWS = 3  # of each load: the median of their quantiles counts
# Two tenants: the second one's runs wait because its one permitted run hangs at the model; the first one is measured.
BULK = 2
ADMIN = [("status", {}), ("queue.stats", {}), ("run.list", {"limit": 50}), ("run.list", {"tenant": str(BULK), "limit": 1000}),
         ("lane.list", {"limit": 50})]


def run(options):
    s = Section("depth", "A deep queue")
    with Stand(options, tenants=2) as stand:
        stand.sql(f"UPDATE tb.tenants SET max_running = 1 WHERE tenant_id = {BULK}")
        seen = [(runs, at_depth(stand, runs)) for runs in (FEW, options.queued)]
        admin = beside_admin(stand)
        seen.append((FEW, at_depth(stand, FEW)))
    show(s, options, seen)
    show_admin(s, admin, seen[1][1])
    s.keep(depths=[{"runs": runs, **d} for runs, d in seen], admin=admin)
    return s


# ---- the bulk

def fill(stand, runs):
    """Waiting runs by SQL while no node is up, as tb.enqueue writes them. A slot need not be its key's hash: no door will ask for these
    sessions."""
    stand.script(f"""
        SET session_replication_role = replica;
        DELETE FROM tb.run_inputs WHERE tenant_id = {BULK};
        DELETE FROM tb.agent_run_queue WHERE tenant_id = {BULK};
        DELETE FROM tb.lanes WHERE tenant_id = {BULK};
        DELETE FROM tb.agent_sessions WHERE tenant_id = {BULK};
        CREATE TEMP TABLE bulk AS SELECT g / {A_LANE} AS lane, g % {A_LANE} + 1 AS pos, a.agent_id,
            (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7000a' || lpad(to_hex(g / {A_LANE}), 15, '0'))::uuid AS session_id,
            (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7000b' || lpad(to_hex(g), 15, '0'))::uuid AS run_id,
            (extract(epoch FROM now()) * 1000000)::bigint - {runs} + g AS order_us
          FROM generate_series(0, {runs} - 1) g, tb.agents a WHERE a.tenant_id = {BULK};
        INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot)
          SELECT {BULK}, session_id, agent_id, 'bulk:' || lane, lane * 2654435761 % 4096 FROM bulk WHERE pos = 1;
        INSERT INTO tb.lanes (tenant_id, session_id, enq_seq) SELECT {BULK}, session_id, max(pos) FROM bulk GROUP BY session_id;
        INSERT INTO tb.agent_run_queue (tenant_id, run_id, session_id, agent_id, slot, kind, mode, state, lane_seq, lane_pos, order_us, run_at,
            enqueued_at)
          SELECT {BULK}, run_id, session_id, agent_id, lane * 2654435761 % 4096, 'turn', 'followup', 'queued', pos, pos, order_us, now(), now()
          FROM bulk;
        INSERT INTO tb.run_inputs (tenant_id, run_id, body)
          SELECT {BULK}, run_id, '{{"blocks":[{{"type":"text","text":"[hang] bulk"}}]}}' FROM bulk;
        RESET session_replication_role;
        VACUUM ANALYZE tb.agent_sessions; VACUUM ANALYZE tb.lanes; VACUUM ANALYZE tb.agent_run_queue; VACUUM ANALYZE tb.run_inputs;
        CHECKPOINT;""")


def at_depth(stand, runs):
    """Restart with so many waiting, then enqueues of another tenant."""
    stand.kill_node()
    fill(stand, runs)
    offset = len(stand.node.log())
    ready_s = stand.start_node()
    status = wait_for(lambda: loaded(stand, runs), 60)
    line = re.search(r"event=queue-loaded\b.*", stand.log_from(offset))
    took = re.search(r"\bms=(\d+)", line.group(0)) if line else None
    rss = stand.rss()["supervisor"]
    return {"ready_s": ready_s, "load_ms": int(took.group(1)) if took else None, "load_line": line.group(0) if line else None,
            "rss_kib": rss, "queue_bytes": status.get("queueBytes"),
            **stand.windows(WINDOWS, warm=1, lanes=64, sessions=256, rate=RATE)}


def loaded(stand, runs):
    """The status once the bulk waits and its one run hangs."""
    status = stand.admin("status")
    return status if status["waiting"] == runs - 1 and status["running"] == 1 else None


# ---- operators look at it

def round_trips(stand, cmd, args, times):
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        stand.admin(cmd, **args)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def beside_admin(stand):
    """Each question 50 times, then all of them in a loop beside enqueues."""
    there, absent = {}, []
    for cmd, args in ADMIN:
        name = " ".join([cmd, *(f"{k}={v}" for k, v in args.items())])
        try:
            taken = round_trips(stand, cmd, args, 50)
        except NotThere:
            absent.append(name)
            continue
        there[name] = {"args": args, "cmd": cmd, "p50_ms": quantile(taken, 0.5), "max_ms": max(taken)}
    over, asked = threading.Event(), [0]

    def ask():
        end = time.monotonic() + stand.seconds
        while time.monotonic() < end and not over.is_set():
            for q in there.values():
                stand.admin(q["cmd"], **q["args"])
                asked[0] += 1
            time.sleep(0.01)
    load = stand.load("paced", during=ask, lanes=64, sessions=256, rate=RATE)
    return {"there": there, "absent": absent, "asked": asked[0], "load": load}


# ---- the report

def show(s, options, seen):
    deep, few = seen[1][1], [d for runs, d in seen if runs == FEW]
    s.table(["waiting runs", "ack p50 ms", "ack p99 ms", "load ms", "exec to /readyz s", "supervisor MiB"],
            [[runs, ms(d["ack_p50_us"]), ms(d["ack_p99_us"]), "-" if d["load_ms"] is None else d["load_ms"], d["ready_s"],
              d["rss_kib"] / 1024] for runs, d in seen])
    s.say(f"The waiting runs were put in by SQL ({A_LANE} a lane, of a tenant at its cap of one running run) and loaded by a restart after "
          f"kill -9; the acknowledgements are another tenant's, {RATE}/s over 64 lanes. Before and after stand {FEW} waiting runs; each line is the "
          f"median of {WINDOWS} loads.")
    base = {q: sum(d[f"ack_{q}_us"] for d in few) / len(few) for q in ("p50", "p99")}
    for q in ("p50", "p99"):
        ratio = round(deep[f"ack_{q}_us"] / base[q], 2)
        if q == "p99":
            s.at_most(f"ack p99 with {options.queued:,} waiting, of that with {FEW}", ratio, 1.5)
        s.keep(**{f"ack_{q}_ratio": ratio})
    extra = (deep["rss_kib"] - few[0]["rss_kib"]) * 1024 / (options.queued - FEW)
    if deep["queue_bytes"]:
        s.at_most("bytes a waiting run, the queue's records", round(deep["queue_bytes"] / options.queued), 256)
        s.say(f"The supervisor's whole RSS grew by {extra:.0f} bytes a waiting run (its lane, hash tables and what loading left included).")
    else:
        s.at_most("bytes of supervisor RSS a waiting run (with its lane and what loading left)", round(extra), 256)
    s.keep(rss_bytes_a_run=extra)
    if deep["load_ms"] is None:
        s.absent(f"loading {options.queued:,} waiting runs, ms", "the log does not say how long it took", "<= 2000")
    else:
        s.at_most(f"loading {options.queued:,} waiting runs, ms", deep["load_ms"], 2000)


def show_admin(s, admin, alone):
    if admin["there"]:
        s.table(["admin command", "p50 ms", "max ms of 50"], [[name, q["p50_ms"], q["max_ms"]] for name, q in admin["there"].items()])
        s.at_most("slowest admin answer on a deep queue, ms", round(max(q["max_ms"] for q in admin["there"].values()), 1), 50)
    for name in admin["absent"]:
        s.absent(f"admin {name}", "not there", "< 50 ms")
    both = admin["load"]
    s.say(f"While these were asked in a loop ({admin['asked']} answers in the measured time): ack p50 {ms(both['ack_p50_us'])} ms, p99 "
          f"{ms(both['ack_p99_us'])} ms; without {ms(alone['ack_p50_us'])} and {ms(alone['ack_p99_us'])} ms.")
