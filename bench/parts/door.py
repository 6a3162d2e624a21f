# SPDX-License-Identifier: Apache-2.0
"""The HTTP door: answers a second, reads beside each other, durable acceptance beside the queue's own, and what listeners cost."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import time

from parts.report import Section, ms
from parts.stand import Stand, cpu_ns, rss_kib, wait_for

SESSIONS = 8192
IDLE = 10000
LISTENERS = 1000
EVENT_BYTES = 220  # of a short one, with the head of its chunk
ANALYZE = "ANALYZE tb.lanes; ANALYZE tb.agent_sessions; ANALYZE tb.agent_run_queue; ANALYZE tb.run_inputs; ANALYZE tb.agent_runs;"
EMPTY = "TRUNCATE tb.agent_run_queue, tb.run_inputs;"
NO_LIMIT = {"TERABITS_MAX_CONNECTIONS": "30000", "TERABITS_MAX_CONNECTIONS_ADDRESS": "30000", "TERABITS_MAX_STREAMS_TENANT": "30000"}


def run(options):
    s = Section("door", "The HTTP door")
    with Stand(options, env=NO_LIMIT) as stand:
        health = answers(stand, ["/healthz"])
        reads = {rate: paced_reads(stand, rate) for rate in (1000,)}
        quiet, beside, idle = idle_listeners(stand)
        cost = listeners(stand)
    with Stand(options) as stand:
        doors, queue = acceptance(stand)
    s.table(["GET /healthz, 64 connections, the edge on one processor", "answers/s", "p50 ms", "p99 ms", "edge us an answer"],
            [["", health["per_s"], ms(health["p50_us"]), ms(health["p99_us"]), health["edge_us"]]])
    s.table(["reads, 1,000 a second over 64 connections", "p50 ms", "p99 ms"],
            [[name, ms(r["p50_us"]), ms(r["p99_us"])] for name, r in reads[1000].items()])
    s.table(["durable acceptance, 64 at a time", "a second"],
            [["POST runs", doors[0]], ["ENQUEUE on the edge's link, without the door", queue], ["POST runs, again", doors[1]]])
    s.table([f"{IDLE:,} streams of a run that says nothing", "value"],
            [["resident memory of the edge a stream, kB", idle["edge_kb"]], ["of the supervisor, kB", idle["supervisor_kb"]],
             ["turns/s at 64 lanes before", quiet], ["turns/s beside them", beside]])
    s.table([f"one run, {LISTENERS:,} listeners", "value"],
            [["events", cost["events"]], ["edge us an event and listener", cost["edge_us"]],
             ["a bare send to each of as many connections, us", cost["bare_us"]],
             ["supervisor us an event and listener", cost["supervisor_us"]]])
    s.at_least("GET /healthz a second, the edge on one processor", round(health["per_s"]), 30000)
    for name, r in reads[1000].items():
        s.at_most(f"{name} at 1,000 a second, p99 ms", r["p99_us"] / 1000, 5)
    s.at_least("POST runs, of the queue's own rate", round(sum(doors) / 2 / queue, 2), 0.9)
    s.at_most(f"an idle stream of {IDLE:,}, kB", round(idle["edge_kb"], 1), 20)
    s.at_least(f"turns/s beside {IDLE:,} idle streams, of those without", round(beside / quiet, 2), 0.9)
    s.at_most("an event, each listener, us of the edge", round(cost["edge_us"], 2), 5)
    s.keep(health=health, reads=reads[1000], doors=doors, queue=queue, idle=idle, quiet=quiet, beside=beside, cost=cost)
    return s


def paths_file(stand, paths):
    name = os.path.join(stand.node.dir, "paths")
    with open(name, "w") as f:
        f.write("\n".join(paths) + "\n")
    return name


def client(stand, mode, paths, **keys):
    return [os.path.join(stand.options.build, "bench", "bench_door"), mode, str(stand.node.port), stand.node.token_file,
            paths_file(stand, paths), *(f"{k}={v}" for k, v in keys.items())]


def get(stand, paths, **keys):
    edge = stand.node.pids()["edge"][0]
    keys.setdefault("ms", int(stand.seconds * 1000))
    before = report = None
    with subprocess.Popen(client(stand, "get", paths, **keys), stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            if line.startswith("START"):
                before = cpu_ns(edge)
            elif line.startswith("END"):
                report = json.loads(line[4:])
                report["edge_us"] = round((cpu_ns(edge) - before) / 1e3 / max(1, report["n"]), 2)
    if not report or report["bad"]:
        raise RuntimeError(f"reads failed: {report}; the node says:\n{stand.node.tail(5)}")
    return report


def answers(stand, paths):
    """The edge alone on processor 0, the client on the others."""
    edge = stand.node.pids()["edge"][0]
    every = os.sched_getaffinity(0)
    for task in os.listdir(f"/proc/{edge}/task"):
        os.sched_setaffinity(int(task), {min(every)})
    os.sched_setaffinity(0, every - {min(every)} or every)
    try:
        return get(stand, paths)
    finally:
        os.sched_setaffinity(0, every)
        for task in os.listdir(f"/proc/{edge}/task"):
            os.sched_setaffinity(int(task), every)


def paced_reads(stand, rate):
    runs = [stand.node.run(f"hello {i}", session=f"read:{i}")[0] for i in range(50)]
    sessions = [r["session_id"] for r in stand.rows("SELECT session_id FROM tb.agent_sessions WHERE session_key LIKE 'read:%'")]
    stand.script("VACUUM ANALYZE")
    return {"GET run": get(stand, [f"/v1/runs/{r}" for r in runs], rate=rate),
            "GET session": get(stand, [f"/v1/sessions/{s}" for s in sessions], rate=rate)}


@contextlib.contextmanager
def listening(stand, run, number):
    """Streams of that run; the report is the value's when they have ended."""
    report = {}
    with subprocess.Popen(client(stand, "listen", [f"/v1/runs/{run}/events"], conns=number), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as p:
        if not p.stdout.readline().startswith("START"):
            raise RuntimeError(f"listeners failed; the node says:\n{stand.node.tail(5)}")
        yield report
        p.stdin.close()
        report.update(json.loads(p.stdout.readline()[4:]))


def idle_listeners(stand):
    one = lambda kind: stand.node.pids()[kind][0]
    turns = lambda: stand.load("turns", lanes=64)["per_s"]
    before = turns()
    run = stand.node.enqueue("[hang 600] nothing", session="idle")
    wait_for(lambda: stand.node.model_stats()["open"] >= 1)
    with listening(stand, run, 100):
        pass
    kib = {kind: rss_kib(one(kind)) for kind in ("edge", "supervisor")}
    with listening(stand, run, IDLE):
        grown = {f"{kind}_kb": round((rss_kib(one(kind)) - kib[kind]) * 1.024 / IDLE, 2) for kind in kib}
        beside = turns()
    after = turns()
    stand.node.post(f"/v1/runs/{run}/cancel")
    return round((before + after) / 2), beside, grown


def listeners(stand):
    """A run of many pieces, apart enough that each is an event of its own."""
    run = stand.node.post("/v1/agents/main/runs", {"message": "[pause 30][chunks 100] " + " ".join(f"w{i}" for i in range(100)), "sessionKey": "many",
                                                   "delayMs": 5000})[2]["runId"]
    edge, supervisor = (stand.node.pids()[kind][0] for kind in ("edge", "supervisor"))
    with listening(stand, run, LISTENERS) as report:
        began = cpu_ns(edge), cpu_ns(supervisor)
        wait_for(lambda: stand.node.get(f"/v1/runs/{run}")[2]["status"] == "completed", 60, 0.2)
        time.sleep(1)
        spent = cpu_ns(edge) - began[0], cpu_ns(supervisor) - began[1]
    events = report["events"] / LISTENERS
    bare = subprocess.run([os.path.join(stand.options.build, "bench", "bench_send"), str(LISTENERS), str(EVENT_BYTES)], check=True, capture_output=True)
    return {"events": round(events, 1), "bare_us": json.loads(bare.stdout)["us"], "edge_us": round(spent[0] / 1e3 / max(1, report["events"]), 2),
            "supervisor_us": round(spent[1] / 1e3 / max(1, report["events"]), 2)}


def acceptance(stand):
    """Answers a second through the door, on the link alone, and through the door again: runs that start keep their model waiting. Each
    begins with an empty queue, which a node bounds."""
    common = dict(lanes=64, queue="followup", sessions=SESSIONS, tag="open")
    measure = min(1500, int(stand.seconds * 500))
    stand.load("enqueue", count=SESSIONS, ms=20000, **common)
    stand.script(ANALYZE)
    first = stand.load("enqueue", ms=measure, **common)["per_s"]
    queue = on_the_link(stand, measure)
    stand.load("enqueue", count=SESSIONS, ms=20000, **common)  # the node is a new one: its edge knows no session
    again = stand.load("enqueue", ms=measure, **common)["per_s"]
    return (first, again), queue


def on_the_link(stand, measure):
    program = os.path.join(stand.node.bin, "terabits-edge")
    lanes = stand.rows("SELECT s.tenant_id, s.agent_id, s.session_id, s.slot FROM tb.agent_sessions s"
                       " WHERE s.session_key LIKE 'bench:%'")
    stand.kill_node()
    stand.script(EMPTY)
    with open(os.path.join(stand.node.bin, "queue.in"), "w") as f:
        f.write(f"{measure}\n" + "".join(f"{r['tenant_id']} {r['agent_id']} {r['session_id']} {r['slot']}\n" for r in lanes))
    os.rename(program, program + ".aside")
    shutil.copy2(os.path.join(stand.options.build, "bench", "bench_queue"), program)
    try:
        stand.node.start_daemon()
        found = wait_for(lambda: re.search(r"event=queue-rate n=(\d+) refused=(\d+) seconds=([\d.]+)", stand.node.log()), 60, 0.1)
        stand.kill_node()
    finally:
        os.rename(program + ".aside", program)
    stand.script(EMPTY)
    stand.start_node()
    return round(int(found.group(1)) / float(found.group(3)), 1)
