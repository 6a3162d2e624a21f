# SPDX-License-Identifier: Apache-2.0
"""The checkout's own files, and how a check reports what it found."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(*suffixes):
    """Paths relative to the checkout that git tracks or would; all files when it is no git checkout."""
    try:
        out = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        paths = [p for p in out.split("\0") if p and os.path.exists(os.path.join(ROOT, p))]
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, below, names in os.walk(ROOT):
            below[:] = [d for d in below if d not in (".git", ".deps", "build", "var", "__pycache__")]
            paths += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    return sorted(p for p in set(paths) if not os.path.islink(os.path.join(ROOT, p)) and (not suffixes or p.endswith(suffixes)))


def lines(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read().split("\n")


class Report:
    """Collects violations; done() prints them and ends the check with 1 if there were any."""

    def __init__(self):
        self.found = []

    def add(self, path, line, text):
        self.found.append(f"{path}:{line}: {text}")

    def done(self):
        if self.found:
            print("\n".join(self.found))
        sys.exit(1 if self.found else 0)
