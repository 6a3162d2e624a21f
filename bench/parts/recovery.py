# SPDX-License-Identifier: Apache-2.0
"""How long it takes until work goes on after a kill -9: of a worker, of its launcher, of the supervisor, of Postgres."""
import http.client
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from parts.report import Section
from parts.stand import Stand, children_of, quantile, wait_for

TIMES = 5
UNDER_WAY = 32
WORKER_MS, SUPERVISOR_MS = 1000, 3000  # asked for
AGAIN = "the interrupted run asks the model again"
EARLY_DEATH_S = 5.2  # a child that dies younger waits longer for its next life: these kills are separate accidents


def run(options):
    s = Section("recovery", "Recovery from kill -9")
    with Stand(options) as stand:
        workers = [worker_killed(stand, i) for i in range(TIMES)]
        launchers = [worker_killed(stand, i, "launcher") for i in range(TIMES)]
        supervisors = [supervisor_killed(stand, i) for i in range(TIMES)]
        outage = postgres_away(stand, options.outage)
    with Stand(options, workers=2) as stand:
        elsewhere = [worker_killed(stand, i) for i in range(TIMES)]
    s.table(["ms from the kill", "p50", "max"],
            [*lines("worker", workers, {AGAIN: "model_ms", "a new run is acknowledged": "ack_ms", "a new run is done": "done_ms"}),
             *lines("one worker of two", elsewhere, {AGAIN: "model_ms", "a new run is done": "done_ms"}),
             *lines("launcher", launchers, {AGAIN: "model_ms", "a new run is done": "done_ms"}),
             *lines("supervisor", supervisors, {"/readyz answers 200": "ready_ms", "a new run is acknowledged": "ack_ms",
                                                AGAIN: "model_ms"})])
    s.say(f"{TIMES} kills each, one worker in the node unless two are named, of which the run's own is killed; the supervisor is started again "
          "as soon as it and its children are gone (a service manager's part). The interrupted run waits at the model when the kill comes.")
    s.say(f"Postgres: postmaster killed with {outage['runs']} runs under way, away for {outage['away_s']:.1f} s: {outage['completed']} of them "
          f"completed; first acknowledgement {outage['ack_ms']:.0f} ms after Postgres took connections again ({outage['refused']} refused with "
          f"503 meanwhile), the last of the runs {outage['done_ms']:.0f} ms after.")
    s.at_most("worker killed: ms until its run goes on, one worker", round(most(workers, "model_ms")), WORKER_MS)
    s.at_most("worker killed: ms until its run goes on elsewhere", round(most(elsewhere, "model_ms")), WORKER_MS)
    s.at_most("supervisor killed: ms until a run is accepted", round(most(supervisors, "ack_ms")), SUPERVISOR_MS)
    s.at_most("supervisor killed: ms until runs go on", round(most(supervisors, "model_ms")), SUPERVISOR_MS)
    s.ask(f"runs completed through {options.outage:g} s without Postgres", f"{outage['completed']} of {outage['runs']}", "all",
          outage["completed"] == outage["runs"])
    s.keep(worker=workers, elsewhere=elsewhere, launcher=launchers, supervisor=supervisors, postgres=outage)
    return s


def most(rows, key):
    return max(r[key] for r in rows)


def lines(kind, rows, facts):
    return [[f"{kind}: {what}", quantile([r[key] for r in rows], 0.5), max(r[key] for r in rows)] for what, key in facts.items()]


def requests(stand):
    return stand.node.model_stats()["requests"]


def since(began):
    return (time.monotonic() - began) * 1000


class Hanging:
    """A run that waits at the model: only its first request hangs, and of all runs only its text says when it was sent, so that the
    model's clock tells when it was asked again."""

    def __init__(self, stand, session):
        self.stand, self.sent_us = stand, time.monotonic_ns() // 1000
        before = requests(stand)
        self.run = stand.node.enqueue(f"[hang 1] {session} t={self.sent_us}", session=session)
        wait_for(lambda: requests(stand) > before)
        stand.node.model_stats(reset=True)

    def asked_again(self, began):
        """Milliseconds from began; waits for the run's end."""
        status = finish(self.stand, self.run)
        stats = self.stand.node.model_stats()
        if status != "ok" or stats["arrivals"] != 1:
            raise RuntimeError(f"the interrupted run ended '{status}' after {stats['arrivals']} further requests")
        return (self.sent_us + stats["arrival_p50_us"]) / 1000 - began * 1000


def accept(stand, message, session, began):
    """(run, ms from began) of the first acknowledgement; asks until there is one."""
    def accepted():
        try:
            status, _, answer = stand.node.post("/v1/agents/main/runs", {"message": message, "sessionKey": session}, timeout=30)
        except (OSError, http.client.HTTPException):
            return None
        return answer["runId"] if status == 202 else None
    run = wait_for(accepted, 60, 0.003)
    return run, since(began)


def finish(stand, run):
    """The status of a run at its end, over a time in which the door may be closed."""
    def answered():
        try:
            status, _, answer = stand.node.get(f"/v1/runs/{run}/wait?timeoutMs=20000", timeout=40)
        except (OSError, http.client.HTTPException):
            return None
        return answer["status"] if status == 200 and answer["status"] != "timeout" else None
    return wait_for(answered, 90, 0.01)


def age_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        born = int(f.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born


def worker_killed(stand, i, kind="worker"):
    """The worker that runs it, or that one's launcher, with which it ends."""
    stand.serving()
    wait_for(lambda: min(age_s(pid) for pid in stand.node.pids()["worker"]) > EARLY_DEATH_S)
    hanging = Hanging(stand, f"k{kind}{i}")
    ordinal = stand.admin("run.show", run=hanging.run)["worker"]
    pid = next(w["pid" if kind == "worker" else "launcherPid"] for w in stand.admin("worker.list")["workers"] if w["ordinal"] == ordinal)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    fresh, ack_ms = accept(stand, "[chunks 1] new", f"new{i}", began)
    finish(stand, fresh)
    done_ms = since(began)
    return {"ack_ms": ack_ms, "done_ms": done_ms, "model_ms": hanging.asked_again(began)}


def supervisor_killed(stand, i):
    stand.serving()
    hanging = Hanging(stand, f"ks{i}")
    began = time.monotonic()
    stand.kill_node()
    stand.start_node()
    ready_ms = since(began)
    _, ack_ms = accept(stand, "[chunks 1] new", f"sup{i}", began)
    return {"ready_ms": ready_ms, "ack_ms": ack_ms, "model_ms": hanging.asked_again(began)}


# ---- Postgres

def takes_connections(path):
    """Whether a server behind the socket lets a client in: 'starting up' is no yes."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(2)
            s.connect(os.path.join(path, ".s.PGSQL.5432"))
            body = struct.pack("!i", 196608) + b"user\0postgres\0database\0terabits\0\0"
            s.sendall(struct.pack("!i", len(body) + 4) + body)
            return s.recv(1) == b"R"
    except OSError:
        return False


def start_again(cluster, pids):
    """A postmaster that was killed leaves backends, which end when they notice; a new one starts when they are gone."""
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), 30)

    def started():
        try:
            cluster.start()
        except subprocess.CalledProcessError:
            return False
        return True
    wait_for(started, 60, 0.1)


def postgres_away(stand, outage_s):
    node, cluster = stand.node, stand.node.cluster
    before = requests(stand)
    # Each is in the middle of its model's answer when Postgres goes.
    runs = [node.enqueue(f"[chunks 20][pause 150] run {i} of those under way", session=f"pg{i}") for i in range(UNDER_WAY)]
    wait_for(lambda: requests(stand) >= before + UNDER_WAY)
    postmaster = cluster.pid()
    pids = [postmaster, *children_of(postmaster)]
    began = time.monotonic()
    os.kill(postmaster, signal.SIGKILL)
    answers = {"refused": 0, "early": 0}
    back, stop, first = [], threading.Event(), []

    def knock():
        while not stop.is_set():
            try:
                status, _, answer = node.post("/v1/agents/main/runs", {"message": "[chunks 1] knock", "sessionKey": "knock"}, timeout=60)
            except (OSError, http.client.HTTPException):
                status = 0
            if status == 202 and back:
                first.append(time.monotonic())
                return
            answers["early"] += status == 202
            answers["refused"] += status == 503
            time.sleep(0.01)

    def watch():
        wait_for(lambda: takes_connections(cluster.socket), 120, 0.005)
        back.append(time.monotonic())
    wait_for(lambda: not takes_connections(cluster.socket), 30)
    knocker, watcher = threading.Thread(target=knock), threading.Thread(target=watch)
    knocker.start()
    time.sleep(max(0, outage_s - (time.monotonic() - began)))
    watcher.start()
    try:
        start_again(cluster, pids)
        watcher.join()
        knocker.join(120)
    finally:
        stop.set()
    if not first:
        raise RuntimeError("nothing was accepted after Postgres came back")
    completed = sum(finish(stand, r) == "ok" for r in runs)
    return {"runs": UNDER_WAY, "completed": completed, "away_s": back[0] - began, "ack_ms": (first[0] - back[0]) * 1000,
            "done_ms": (time.monotonic() - back[0]) * 1000, **answers}
