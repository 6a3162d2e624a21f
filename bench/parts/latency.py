# SPDX-License-Identifier: Apache-2.0
"""How long one waits: for the acknowledgement under load, and for a worker when the node is idle."""
from parts import wakeup
from parts.report import Section, ms
from parts.stand import Stand
from parts.turns import PROCESSES


def run(options):
    s = Section("latency", "Latency")
    with Stand(options) as stand:
        stand.grow(512)
        full = stand.load("turns", lanes=16, sessions=512)
        rate = max(50, int(full["per_s"] * 0.3))
        one = stand.load("turns", lanes=1, sessions=64)
        third = stand.load("paced", lanes=64, sessions=256, rate=rate)
        stand.node.model_stats(reset=True)
        idle = stand.load("paced", lanes=16, sessions=64, rate=100, warm=0)
        arrival = stand.node.model_stats()
        wake = wakeup.measure()
    s.table(["measure", "p50 ms", "p99 ms"],
            [["ack, 16 lanes at full load", ms(full["ack_p50_us"]), ms(full["ack_p99_us"])],
             [f"ack at 30 % of that ({rate}/s over 64 lanes)", ms(third["ack_p50_us"]), ms(third["ack_p99_us"])],
             ["whole run at 30 %", ms(third["p50_us"]), ms(third["p99_us"])],
             ["ack, one lane that asks again at once", ms(one["ack_p50_us"]), ms(one["ack_p99_us"])],
             ["ack, idle (100/s)", ms(idle["ack_p50_us"]), ms(idle["ack_p99_us"])],
             ["enqueue to the model's server, idle (100/s)", ms(arrival["arrival_p50_us"]), ms(arrival["arrival_p99_us"])]])
    s.say("*Enqueue to the model's server* runs from the client's send to the arrival of the worker's request: a worker had the run before that.")
    s.table(["CPU us a run", *PROCESSES, "sum"],
            [[name, *(r["cpu_us"][p] for p in PROCESSES), round(sum(r["cpu_us"][p] for p in PROCESSES), 1)]
             for name, r in (("one lane that asks again at once", one), ("idle (100/s)", idle))])
    s.say(f"To hand a byte from one process to another takes this machine {wake['busy']:.0f} us when both were just awake, {wake['idle']:.0f} us (p99"
          f" {wake['idle_p99']:.0f}) at 100 a second. On the way of an acknowledgement are about ten such steps: client, edge and its IPC thread,"
          " the supervisor's and itself, Postgres, and back.")
    s.at_most("ack at 30 % load, p50 ms", round(third["ack_p50_us"] / 1000, 2), 2)
    s.at_most("ack at 30 % load, p99 ms", round(third["ack_p99_us"] / 1000, 2), 10)
    s.at_most("enqueue to the model's server, idle, p50 ms", round(arrival["arrival_p50_us"] / 1000, 2), 2)
    s.at_most("enqueue to the model's server, idle, p99 ms", round(arrival["arrival_p99_us"] / 1000, 2), 10)
    s.keep(full=full, one=one, third=third, idle=idle, arrival=arrival, rate=rate, wake=wake)
    return s
