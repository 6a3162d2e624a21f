# SPDX-License-Identifier: Apache-2.0
"""What it costs on this machine to wake a process that sleeps: a byte there and back over a unix socket, nothing else."""
import os
import socket
import time


def echo(end):
    while data := end.recv(1):
        end.send(data)
    os._exit(0)


def round_trips(count, pause_s):
    """Microseconds of each, with that pause between two."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        echo(theirs)
    theirs.close()
    took = []
    for _ in range(count):
        if pause_s:
            time.sleep(pause_s)
        began = time.perf_counter()
        ours.send(b"x")
        ours.recv(1)
        took.append((time.perf_counter() - began) * 1e6)
    ours.close()
    os.waitpid(pid, 0)
    return sorted(took)


def measure():
    """Half of a round trip in microseconds: {busy, idle, idle_p99}; idle: 100 a second."""
    busy, idle = round_trips(5000, 0), round_trips(300, 0.01)
    return {"busy": busy[len(busy) // 2] / 2, "idle": idle[len(idle) // 2] / 2, "idle_p99": idle[len(idle) * 99 // 100] / 2}
