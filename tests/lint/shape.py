#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes, first lines and words that do not belong into the tree."""
import os
import re
import sys

from _tree import ROOT, files

FILE_LINES, FUNCTION_LINES = 600, 80
problems = []


def bad(path, number, text):
    problems.append(f"{path}:{number}: {text}")


def functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if number - start - 1 > FUNCTION_LINES:
                bad(path, start, f"a function of {number - start - 1} lines, {FUNCTION_LINES} at most")
            start = None


def main():
    for path in files():
        code = path.endswith((".c", ".h"))
        if not (code or path.endswith((".sql", ".sh", ".py", ".tbl", ".md", ".txt")) or path in ("run", "test", "scripts/setup")):
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            lines = f.read().split("\n")
        if path.endswith((".c", ".h", ".sql", ".sh", ".py")) and not any("SPDX-License-Identifier: Apache-2.0" in l for l in lines[:2]):
            bad(path, 1, "the first line names the licence: SPDX-License-Identifier: Apache-2.0")
        tests = path.startswith("tests/")
        if code and len(lines) > FILE_LINES and not (tests and len(lines) <= 2 * FILE_LINES):
            bad(path, 1, f"{len(lines)} lines, {FILE_LINES} at most")
        if code:
            functions(path, lines)
        for number, line in enumerate(lines, 1):
            if line != line.rstrip() and not path.endswith(".md"):
                bad(path, number, "trailing blanks")
            if code and re.search(r"\bgoto\b\s+\w+;", line):
                bad(path, number, "goto")
            if code and re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                bad(path, number, "unfinished work belongs in docs/progress.md or an issue")
            if re.search(r"/(home|root|work)/", line) and not path.startswith("tests/lint/"):
                bad(path, number, "a path of one machine")
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)


main()
