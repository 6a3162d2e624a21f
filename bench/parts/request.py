# SPDX-License-Identifier: Apache-2.0
"""What it takes to make the request of a session of 200 messages, in each provider's words."""
import json
import os
import subprocess

from parts.report import Section, ms


def run(options):
    s = Section("request", "The request of a long session")
    program = os.path.join(options.build, "bench", "bench_request")
    r = json.loads(subprocess.run([program, str(max(100, int(options.seconds * 250)))], stdout=subprocess.PIPE, check=True).stdout)
    s.say("200 messages, all tools, no network: measured, planned and written. *First*: the worker has read the messages from Postgres and made no request of "
          "them yet, or one for another provider; *next*: an answer and a message later, as all later questions are.")
    s.table(["provider", "bytes", "first, p50 ms", "first, p95 ms", "next, p50 ms", "next, p95 ms"],
            [[name, p["bytes"], *(ms(p[which][q]) for which in ("first", "next") for q in ("p50_us", "p95_us"))] for name, p in r.items()])
    s.at_most("making the request of a session of 200 messages, first, p50 ms, the slowest provider", max(p["first"]["p50_us"] for p in r.values()) / 1000, 1)
    s.at_most("likewise, next", max(p["next"]["p50_us"] for p in r.values()) / 1000, 1)
    s.keep(**r)
    return s
