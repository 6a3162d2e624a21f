# SPDX-License-Identifier: Apache-2.0
"""Workers come and go under load: what each second of it did, and whether every lane kept its order."""
import time

from parts.report import Section
from parts.stand import NotThere, Stand, wait_for

import invariants

LANES = 64
STEPS = (8, 2)  # from one worker

ORDER = """
    SELECT m.session_id, m.seq FROM (SELECT m.session_id, m.seq, r.lane_seq, lag(r.lane_seq, 1, 0::bigint)
        OVER (PARTITION BY m.tenant_id, m.session_id ORDER BY m.seq) AS before
      FROM tb.session_messages m JOIN tb.agent_runs r USING (tenant_id, run_id) WHERE m.role = 'user') m WHERE m.lane_seq <= m.before"""
ONCE = """
    SELECT r.run_id FROM tb.agent_runs r LEFT JOIN (SELECT tenant_id, run_id, count(*) AS answers FROM tb.session_messages
        WHERE role = 'assistant' GROUP BY tenant_id, run_id) m USING (tenant_id, run_id)
     WHERE r.result <> 'completed' OR m.answers IS DISTINCT FROM 1"""


def run(options):
    s = Section("scaling", "Scaling under load")
    with Stand(options) as stand:
        stand.grow(512)
        step_s = max(3, round(options.seconds))
        try:
            stand.admin("worker.scale", n=1)
        except NotThere:
            s.say("The node knows no `worker.scale`.")
            s.absent("scaling 1 -> 8 -> 2 under load", "not there", "order kept")
            return s
        load = stand.load("turns", during=lambda: scale(stand, step_s), lanes=LANES, sessions=512, series=1,
                          ms=step_s * 1000 * (len(STEPS) + 1))
        wait_for(lambda: stand.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 60, 0.1)
        stand.script("ANALYZE tb.lanes; ANALYZE tb.agent_runs; ANALYZE tb.session_messages; ANALYZE tb.run_events; ANALYZE tb.agent_run_queue")
        found = dict(invariants.violations(stand.node))
        for name, query in (("user messages stand in lane_seq order", ORDER), ("each run completed once", ONCE)):
            rows = stand.rows(query)
            if rows:
                found[name] = rows[:5]
        runs = int(stand.sql("SELECT count(*) FROM tb.agent_runs"))
    show(s, load, found, runs)
    s.keep(load=load, violations=found, runs=runs)
    return s


def scale(stand, step_s):
    """[(second it was asked, workers asked for, seconds until just those were ready)]"""
    began, steps = time.monotonic(), []
    for i, n in enumerate(STEPS):
        time.sleep(max(0, step_s * (i + 1) - (time.monotonic() - began)))
        asked = time.monotonic()
        done = stand.node.ctl("worker", "scale", str(n))
        if done.returncode:
            raise RuntimeError(f"terabitsctl worker scale {n}: {done.stderr}")
        wait_for(lambda n=n: workers(stand) == ["ready"] * n, 60, 0.02)
        steps.append({"at_s": round(asked - began, 2), "workers": n, "took_s": round(time.monotonic() - asked, 2)})
    return steps


def workers(stand):
    return [c["state"] for c in stand.admin("status")["children"] if c["kind"] == "worker"]


def show(s, load, found, runs):
    series, steps = load["series"], load["during"]
    s.table(["second", *range(1, len(series) + 1)], [["turns/s", *series]])
    s.say(f"{LANES} lanes, one worker at first; " + "; ".join(
        f"at {x['at_s']:.1f} s `terabitsctl worker scale {x['workers']}`, done {x['took_s']:.2f} s later" for x in steps) + ".")
    s.say(f"Afterwards, by SQL over {runs:,} runs: " + ("each completed once, each lane's messages stand in the order of acceptance, and the "
          "invariants of the tests hold." if not found else "**violations**: " + "; ".join(f"{k}: {v}" for k, v in found.items())))
    s.ask("scaling 1 -> 8 -> 2 under load: lanes out of order, runs lost or done twice", len(found), "none", not found)
