#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/tenancy.md says of every path what scope it takes, and says what edge/routes.tbl says. `scopes.py --write` writes the table anew."""
import os
import re
import sys

from _tree import ROOT, Report

DOC = "docs/tenancy.md"
BEGIN, END = "<!-- scopes: made by tests/lint/scopes.py --write -->", "<!-- end of scopes -->"
ORDER = ["run", "read", "write", "admin", "platform"]


def table():
    with open(os.path.join(ROOT, "edge", "routes.tbl"), encoding="utf-8") as f:
        rows = re.findall(r'^ROUTE\(\w+, ([\w |]+), "([^"]+)", ([\w |]+), \w+\)', f.read(), re.M)
    by_scope = {}
    for methods, path, scopes in rows:
        words = [w for w in ORDER if f"SCOPE_{w.upper()}" in scopes]
        method = methods.replace("METHOD_", "").replace(" | ", ", ")
        by_scope.setdefault(" or ".join(words) or "no token", {}).setdefault(path, []).append(method)
    out = []
    for scopes, paths in sorted(by_scope.items(), key=lambda item: (len(item[0].split()), item[0])):
        out.append(f"**{scopes}**")
        out.append("")
        out += [f"- `{path}` {', '.join(methods)}" for path, methods in sorted(paths.items())]
        out.append("")
    return out[:-1]


def main():
    path = os.path.join(ROOT, DOC)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    report = Report()
    if BEGIN not in text or END not in text:
        report.add(DOC, 1, f"there is no table of scopes: {BEGIN} ... {END}")
        report.done()
        return
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    wanted = f"{before}{BEGIN}\n" + "\n".join(table()) + f"\n{END}{after}"
    if "--write" in sys.argv:
        with open(path, "w", encoding="utf-8") as f:
            f.write(wanted)
    elif wanted != text:
        report.add(DOC, text[:text.index(BEGIN)].count("\n") + 1, "the table of scopes is not edge/routes.tbl's: run tests/lint/scopes.py --write")
    report.done()


main()
