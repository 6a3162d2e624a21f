#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes go down only, and each foreign header has one home. docs/architecture.md, "Rules that hold everywhere"."""
import re

from _tree import Report, files, lines

# A folder and the folders it may include; the longest folder that fits a path is its storey.
STOREYS = {
    "common": ["common"],
    "proto": ["common", "proto"],
    "proto/tools": ["common", "proto/tools", "sandbox"],
    "proto/keys": ["common", "proto/keys"],
    "proto/model": ["common", "proto/tools", "proto/model"],
    "sandbox": ["common", "sandbox"],
    "sandbox/launcher": ["common", "proto", "sandbox", "sandbox/launcher"],
    "sandbox/sweep": ["common", "proto", "sandbox", "sandbox/sweep"],
    "sandbox/client": ["common", "proto", "sandbox/client"],
    "supervisor": ["common", "proto", "proto/keys", "sandbox", "supervisor"],
    "edge": ["common", "proto", "proto/tools", "proto/keys", "proto/model", "sandbox", "sandbox/client", "edge"],
    "edge/openai": ["common", "proto", "proto/tools", "proto/keys", "proto/model", "edge", "edge/openai"],
    # Foreign protocols: on top of the edge, beside each other.
    "edge/agui": ["common", "proto", "edge", "edge/agui"],
    "edge/uistream": ["common", "proto", "edge", "edge/uistream"],
    "edge/mcp": ["common", "proto", "proto/tools", "edge", "edge/mcp"],
    "worker": ["common", "proto", "proto/tools", "proto/keys", "proto/model", "sandbox", "sandbox/client", "worker"],
    "cli": ["common", "proto/tools", "proto/keys", "proto/model", "cli"],
}
# Files of the left must never see what fits the right: models and tools do not know the run machine.
HIDDEN = [(r"worker/(tools|llm)/", r"worker/(run|step)[^/]*\.(h|tbl)$")]
HOMES = {  # foreign headers, and the files that may name them
    r"nng/": r"proto/chan",
    r"msgpack": r"proto/wire",
    r"curl/": r"common/http/",
    r"(libpq-fe|libpq/|pg_config|postgres)": r"common/pg/",
    r"seccomp\.h": r"sandbox/seccomp[^/]*\.[ch]$",
    r"yyjson\.h": r"common/json",
    r"sodium": r"common/crypto\.c$",
    r"event2?[/.]": r"common/loop\.c$",
    r"llhttp\.h": r"edge/",
    r"openssl/": r"edge/tls\.c$",
    r"(n?curses|term)\.h|ncursesw?/": r"cli/top[^/]*\.c$",
    r"confuse\.h": r"common/config\.c$",
}
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def storey(path):
    fits = [s for s in STOREYS if path.startswith(s + "/")]
    return max(fits, key=len) if fits else None


def check(path, included, quote, number, report):
    above, below = storey(path), storey(included)
    if quote == '"':
        if above and below and below not in STOREYS[above]:
            report.add(path, number, f'{above} must not include "{included}": includes go down only')
        for here, hidden in HIDDEN:
            if re.match(here, path) and re.match(hidden, included):
                report.add(path, number, f'"{included}" is hidden from this folder')
        return
    for header, home in HOMES.items():
        # A unit test may look at what its own module is made of; stand-ins and measuring programs stand outside.
        own = re.sub(r"^tests/unit/(.*)test_", r"\1", path)
        if re.match(header, included) and not re.match(home, own) and not re.match(r"tests/fakes/|bench/", path):
            report.add(path, number, f"<{included}> has its home in {home.replace(chr(92), '').rstrip('$')}")


def main():
    report = Report()
    for path in files(".c", ".h", ".tbl"):
        for number, line in enumerate(lines(path), 1):
            m = INCLUDE.match(line)
            if m:
                check(path, m.group(2), m.group(1), number, report)
    report.done()


main()
