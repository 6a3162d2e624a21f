#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""C sources stand as clang-format 14 sets them; without that version there is nothing to compare with."""
import re
import shutil
import subprocess

from _tree import ROOT, Report, files

VERSION = "14"
APART = {"proto/dispatch.h"}  # a comment of source lines, which it would join


def find_tool():
    for name in (f"clang-format-{VERSION}", "clang-format"):
        if shutil.which(name):
            said = subprocess.run([name, "--version"], stdout=subprocess.PIPE, text=True).stdout
            if re.search(rf"version {VERSION}\.", said):
                return name
    return None


def main():
    tool = find_tool()
    report = Report()
    if not tool:
        print(f"clang-format {VERSION} is not here: skipped")
        report.done()
    said = subprocess.run([tool, "--dry-run", *(f for f in files(".c", ".h") if f not in APART)], cwd=ROOT, stderr=subprocess.PIPE, text=True).stderr
    seen = set()
    for path, number in re.findall(r"^(\S+?):(\d+):\d+: warning:", said, re.M):
        if path not in seen:
            seen.add(path)
            report.add(path, number, f"not as {tool} sets it: run {tool} -i {path}")
    report.done()


main()
