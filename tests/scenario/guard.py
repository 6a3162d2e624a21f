# SPDX-License-Identifier: Apache-2.0
"""guard.py COMMAND...: runs it; however it ends, and if this is told to end, no process and no directory of its tests stays behind.
Processes that outlive the command are listed, and make a failure of a success."""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 5  # for what has been told to end and is about to


def adopt():
    """Whatever loses its parent below this process becomes its child."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def descendants():
    """{pid: command line}"""
    parents, commands = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f, open(f"/proc/{pid}/cmdline") as line:
                state, parent = f.read().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(pid)], commands[int(pid)] = int(parent), line.read().replace("\0", " ").strip()
        except OSError:
            continue
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return {pid: commands[pid] for pid in found if pid != os.getpid() and pid in commands}


def end_all():
    while left := descendants():
        for pid in sorted(left):  # parents first: none reports its child's death
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        time.sleep(0.01)


def outliving():
    end = time.monotonic() + GRACE_SECONDS
    while True:
        reap()
        left = descendants()
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def told(number, _):
    sys.exit(128 + number)


def main():
    adopt()
    ends = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    for number in ends:
        signal.signal(number, told)
    scratch = tempfile.mkdtemp(prefix="tb", dir="/tmp")  # short: paths of sockets have a limit
    os.chmod(scratch, 0o1777)
    left = {}
    try:
        command = subprocess.Popen(sys.argv[1:], env={**os.environ, "TB_TMP": scratch, "TB_GUARD": str(os.getpid())})
        status = command.wait()
        left = outliving()
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        end_all()
        if not os.environ.get("KEEP"):
            shutil.rmtree(scratch, ignore_errors=True)
    for pid, line in left.items():
        print(f"left running by the tests: {pid} {line}", file=sys.stderr)
    sys.exit(status if status > 0 or not left else 1)


if __name__ == "__main__":
    main()
