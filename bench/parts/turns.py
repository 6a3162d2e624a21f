# SPDX-License-Identifier: Apache-2.0
"""Whole runs through the door, by lanes and by tenants, beside pgbench's turn of two commits."""
from parts.report import Section, ms
from parts.stand import Stand
from parts.yardstick import Yardstick

TENANTS = 256
SESSIONS = 2048
PROCESSES = ("supervisor", "edge", "worker", "postgres")


def run(options):
    s = Section("turns", "Turns")
    with Stand(options, tenants=TENANTS) as stand:
        idle = stand.rss()
        yard = Yardstick(stand)
        yard.turns()
        stand.grow(SESSIONS)
        # One lane alone would spend its time on opening sessions.
        rows = {"1": stand.load("turns", lanes=1, sessions=256)}
        for lanes in (16, 64, 256):
            rows[str(lanes)] = stand.load("turns", lanes=lanes, sessions=SESSIONS)
        mixed, alone = f"64, {TENANTS} tenants", rows["64"]
        rows[mixed] = stand.load("turns", tokens=stand.token_file, lanes=64, sessions=SESSIONS)
        again = stand.load("turns", lanes=64, sessions=SESSIONS)
        yard.turns()
        used = stand.rss()
    show(s, rows, yard)
    one_tenant = (alone["per_s"] + again["per_s"]) / 2
    s.say(f"The {TENANTS} tenants stand between two measures with one: {alone['per_s']:,.0f} and {again['per_s']:,.0f} turns/s.")
    s.table(["RSS MiB", *idle], [["idle", *(round(v / 1024, 1) for v in idle.values())],
                                 ["after these turns", *(round(used[k] / 1024, 1) for k in idle)]])
    turn2 = yard.mean("turn2")
    s.at_least("turns/s at 64 lanes, of pgbench turn2", round(one_tenant / turn2, 2), 0.8)
    s.at_least(f"turns/s at 64 lanes, {TENANTS} tenants, of one tenant's", round(rows[mixed]["per_s"] / one_tenant, 2), 0.9)
    s.at_most("transaction ids a turn, 1 lane", round(rows["1"]["transactions"], 1), 2.0)
    s.at_most("transaction ids a turn, 64 lanes", alone["transactions"], 0.3)
    s.keep(pgbench=yard.seen, rows=rows, again=again, rss_idle_kib=idle, rss_after_kib=used)
    return s


def show(s, rows, yard):
    turn2, one = yard.mean("turn2"), yard.mean("turn2_1")
    s.say("A *turn* is a whole run through the HTTP door: POST with `stream:true`, durable enqueue, worker, streamed model answer of 4 pieces, "
          f"final commit, end of stream; {SESSIONS} sessions in turn, histories kept. Transactions are counted by transaction ids.")
    s.table(["lanes", "turns/s", "p50 ms", "p99 ms", "ack p50 ms", "ack p99 ms", "transactions a turn", "ratio to pgbench turn2"],
            [[name, r["per_s"], ms(r["p50_us"]), ms(r["p99_us"]), ms(r["ack_p50_us"]), ms(r["ack_p99_us"]), r["transactions"],
              f"{r['per_s'] / turn2:.2f}" + (f" (to 1 client: {r['per_s'] / one:.2f})" if name == "1" else "")] for name, r in rows.items()])
    s.say(f"pgbench turn2 before and after: {yard.text('turn2')} turns/s with 32 clients, {yard.text('turn2_1')} with one.")
    s.table(["CPU us a turn, lanes", *PROCESSES, "sum"],
            [[name, *(r["cpu_us"][p] for p in PROCESSES), round(sum(r["cpu_us"][p] for p in PROCESSES), 1)] for name, r in rows.items()])
