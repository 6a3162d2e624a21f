# SPDX-License-Identifier: Apache-2.0
"""What a jail costs, as root and as an ordinary user, beside a bare fork, a bare exec and bubblewrap."""
import json
import os
import shutil
import subprocess
import tempfile

from parts.report import Section, ms

NOBODY = 65534
ROWS = (("fork", "fork and exit"), ("bash", "vfork, exec of bash -c true"), ("jail_builtin", "a jail, a built-in listing"),
        ("group_builtin", "a jail in a control group, a built-in listing"), ("jail_bash", "a jail, bash -c true"),
        ("spare_builtin", "a spare jail, a built-in listing"), ("spare_bash", "a spare jail, bash -c true"), ("bwrap_bash", "bubblewrap, bash -c true"))


def measure(program, uid, count):
    """In a workspace of that user."""
    base = tempfile.mkdtemp(prefix="tbj", dir="/var/tmp")
    try:
        os.chmod(base, 0o711)
        workspace = os.path.join(base, "w")
        os.mkdir(workspace)
        os.chmod(workspace, 0o777)  # bubblewrap enters it as whom it is
        copy = shutil.copy2(program, base)
        if os.getuid() == 0:
            os.chown(workspace, uid or 2000000001, uid or 2000000001)
        become = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
        return json.loads(subprocess.run([copy, workspace, str(count)], stdout=subprocess.PIPE, check=True, cwd="/", **become).stdout)
    finally:
        shutil.rmtree(base)


def run(options):
    s = Section("jails", "Jails")
    program = os.path.join(options.build, "bench", "bench_jail")
    who = {"root": None, "an ordinary user": NOBODY} if os.getuid() == 0 else {"an ordinary user": None}
    for name, uid in who.items():
        r = measure(program, uid, max(100, int(options.seconds * 75)))
        show(s, name, r)
        s.keep(**{name: r})
    return s


def show(s, name, r):
    s.table([f"as {name}", "p50 ms", "p95 ms"], [[text, ms(r[key]["p50_us"]), ms(r[key]["p95_us"])] for key, text in ROWS if r.get(key, {}).get("p50_us")])
    # A launcher has a spare jail at hand whenever nothing else was to be done for a moment; else its call waits for the birth of one.
    for kind, word in (("spare", "a spare jail"), ("jail", "a jail")):
        over = {p: (r[f"{kind}_builtin"][p] - r["fork"][p]) / 1000 for p in ("p50_us", "p95_us")}
        s.at_most(f"{word}, a built-in tool over a fork, {name}, p50 ms", round(over["p50_us"], 2), 3)
        s.at_most(f"{word}, a built-in tool over a fork, {name}, p95 ms", round(over["p95_us"], 2), 6)
        allowed = round(2 * r["bash"]["p50_us"] / 1000 + 3, 2)
        s.at_most(f"{word}, bash -c true, {name}, p50 ms (twice a bare one and 3)", round(r[f"{kind}_bash"]["p50_us"] / 1000, 2), allowed)
        if "bwrap_bash" in r:
            s.at_most(f"{word}, bash -c true, {name}, of bubblewrap's", round(r[f"{kind}_bash"]["p50_us"] / r["bwrap_bash"]["p50_us"], 2), 0.5)
        else:
            s.absent(f"{word}, bash -c true, {name}, of bubblewrap's", "bubblewrap is not installed", "<= 0.5")
