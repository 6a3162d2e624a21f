# SPDX-License-Identifier: Apache-2.0
"""Streams: what we add between a provider's byte and the client's, what a streamed token costs, and what runs cost that wait for their model."""
import json
import os
import subprocess
import threading
import time

from parts.report import Section, ms
from parts.stand import Stand, quantile, rss_kib, wait_for

PROCESSES = ("supervisor", "edge", "worker")
WAITING = 1000


def run(options):
    s = Section("streams", "Streams")
    with Stand(options) as stand:
        calm = streams(stand, 200, 20)  # 50 tokens a second each
        dense = streams(stand, 200, 4)
    with Stand(options, workers=4) as stand:
        waiting = wait_for_models(stand)
    s.say("Each of the fake model's chunks says when it was sent, each reader when it came: provider, node and readers share the machine's clock and its "
          "processors. A token is a chunk of 18 bytes in an event of its own.")
    s.table(["streams", "tokens/s", "p50 ms", "p99 ms", "longest ms", *(f"{p} us a token" for p in PROCESSES), "sum"],
            [[r["streams"], r["per_s"], ms(r["p50_us"]), ms(r["p99_us"]), ms(r["most_us"]), *(r["cpu_us"][p] for p in PROCESSES),
              round(sum(r["cpu_us"][p] for p in PROCESSES), 1)] for r in (calm, dense)])
    s.say(f"{WAITING} runs that wait for their model on 4 workers: {waiting['kib']:.0f} KiB of resident memory a run in the workers; threads of a worker "
          f"{waiting['threads']} (of ours one, the others are nng's and the resolver's); the longest callback of a worker in each of its pings meanwhile: "
          f"p99 {ms(waiting['lag_p99_us'])} ms, most {ms(waiting['lag_us'])} ms.")
    s.at_most("provider byte to client byte, 200 streams of 50 tokens/s, p50 ms", calm["p50_us"] / 1000, 1)
    s.at_most("provider byte to client byte, p99 ms", calm["p99_us"] / 1000, 5)
    s.at_most("a run that waits for its model, kB", round(waiting["kib"] * 1.024, 1), 300)
    s.at_most("loop lag with 1,000 of them, p99 ms", waiting["lag_p99_us"] / 1000, 10)
    s.keep(calm=calm, dense=dense, waiting=waiting)
    return s


def streams(stand, number, pause_ms):
    seconds = max(4, int(stand.seconds))
    chunks = (seconds + 30) * 1000 // pause_ms
    program = os.path.join(stand.options.build, "bench", "bench_streams")
    before = after = report = None
    with subprocess.Popen([program, str(stand.node.port), stand.node.token_file, str(number), str(chunks), str(pause_ms), str(seconds)],
                          stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            if line.startswith("START"):
                before = stand.snapshot()
            elif line.startswith("END"):
                after, report = stand.snapshot(), json.loads(line[4:])
    if not report:
        raise RuntimeError(f"the reader of streams failed; the node says:\n{stand.node.tail(5)}")
    report["streams"] = number
    report["cpu_us"] = {k: round((after[k] - before.get(k, 0)) / 1e3 / max(1, report["n"]), 2) for k in after}
    wait_for(lambda: cancel_all(stand), 60)
    return report


def cancel_all(stand):
    for row in stand.rows("SELECT run_id FROM tb.agent_run_queue"):
        stand.node.post(f"/v1/runs/{row['run_id']}/cancel")
    return stand.sql("SELECT count(*) FROM tb.agent_run_queue") == "0"


def wait_for_models(stand):
    workers = stand.node.pids()["worker"]

    def post(part):
        for i in part:
            stand.node.post("/v1/agents/main/runs", {"message": f"[hang] {i}", "sessionKey": f"wait:{i}"})

    def everybody(first, last):
        threads = [threading.Thread(target=post, args=(range(first + k, last, 8),)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wait_for(lambda: stand.node.model_stats()["open"] >= last, 60)
    everybody(0, 100)  # buffers, caches and connections that stay
    before = sum(map(rss_kib, workers))
    everybody(100, 100 + WAITING)
    lags = []
    for _ in range(20):  # a ping says the longest turn since the one before
        time.sleep(0.5)
        lags += [c["worstTurnUs"] for c in stand.admin("status")["children"] if c["kind"] == "worker"]
    after = sum(map(rss_kib, workers))
    threads = max(len(os.listdir(f"/proc/{w}/task")) for w in workers)
    return {"kib": (after - before) / WAITING, "threads": threads, "lag_us": max(lags or [0]), "lag_p99_us": quantile(lags, 0.99)}
