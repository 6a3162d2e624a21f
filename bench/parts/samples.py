# SPDX-License-Identifier: Apache-2.0
"""Where the processor's time goes: perf's samples of each process under 64 lanes."""
import collections
import os
import shutil
import subprocess

from parts.report import Section
from parts.stand import Stand, children_of

TOP = 8
FREQUENCY = 500


def run(options):
    s = Section("samples", "Where the time goes")
    perf = shutil.which("perf")
    if not perf:
        s.say("perf is not installed.")
        s.absent("top symbols by process", "perf is not installed")
        return s
    with Stand(options) as stand:
        stand.grow(1024)
        kinds = {p: kind for kind, pids in stand.node.pids().items() for p in pids if kind != "launcher"}
        kinds.update({p: "postgres" for p in children_of(stand.node.postmaster_pid())})
        data = os.path.join(stand.node.dir, "perf.data")
        event = event_of(perf)
        # perf takes a moment to start: the load outlasts it.
        load = stand.load("turns", during=lambda: record(perf, event, kinds, data, options.seconds), lanes=64, sessions=1024,
                          ms=int(options.seconds * 1000) + 1500)
        samples = read(perf, data, kinds)
    show(s, samples, event, load)
    s.keep(event=event, per_s=load["per_s"], symbols=samples)
    return s


def event_of(perf):
    """A virtual machine often has no counters: then the clock's ticks."""
    p = subprocess.run([perf, "stat", "-x,", "-e", "cycles", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return "cycles" if p.returncode == 0 and "<not" not in p.stderr else "cpu-clock"


def record(perf, event, kinds, data, seconds):
    """Only the node's and the cluster's processes, their backends included that were there before the load."""
    p = subprocess.run([perf, "record", "-q", "-e", event, "-F", str(FREQUENCY), "-o", data, "-p", ",".join(map(str, kinds)), "--", "sleep",
                        f"{seconds:g}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise RuntimeError(f"perf record: {p.stderr.strip()[-300:]}")


def read(perf, data, kinds):
    """{process kind: {(object, symbol): samples}}"""
    p = subprocess.run([perf, "script", "-i", data, "-F", "pid,ip,sym,dso", "--no-inline"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
    if p.returncode:
        raise RuntimeError(f"perf script: {p.stderr.strip()[-300:]}")
    out = collections.defaultdict(collections.Counter)
    for line in p.stdout.splitlines():
        pid, _, symbol, *rest = line.split(None, 3) + [""]
        if int(pid) in kinds:
            where = os.path.basename(rest[0].strip("()"))
            out[kinds[int(pid)]][f"{where.removeprefix('[').removesuffix(']')} {symbol}"] += 1
    if not out:
        raise RuntimeError("perf took no sample of the node's processes")
    return {kind: dict(c.most_common()) for kind, c in out.items()}


def show(s, samples, event, load):
    s.say(f"64 lanes, {load['per_s']:,.0f} turns/s while perf looked ({event}, {FREQUENCY} a second): the {TOP} symbols of each process that "
          "were found running most often, in % of its own samples.")
    for kind, symbols in sorted(samples.items(), key=lambda kv: -sum(kv[1].values())):
        total = sum(symbols.values())
        s.table([f"{kind} ({total:,} samples)", "%"], [[name, round(100 * n / total, 1)] for name, n in list(symbols.items())[:TOP]])
