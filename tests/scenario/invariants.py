# SPDX-License-Identifier: Apache-2.0
"""What must hold in the database at any moment, from cli/invariants.tbl, which terabitsctl reads too."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKEN = re.compile(r"""\s+|/\*.*?\*/|//[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<word>\w+)|(?P<sign>[(),])""", re.S)
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "'": "'"}


def unquoted(token):
    """The text of one C string literal."""
    def char(m):
        if m.group(1) not in ESCAPES:
            raise ValueError(f"an escape this reader does not know: {m.group(0)}")
        return ESCAPES[m.group(1)]
    return re.sub(r"\\(.)", char, token[1:-1])


def tokens(text):
    """(kind, value) of each token; adjacent string literals are one, as in C."""
    out, at = [], 0
    while at < len(text):
        m = TOKEN.match(text, at)
        if not m:
            raise ValueError(f"not a token: {text[at:at + 40]!r}")
        at = m.end()
        if m.lastgroup == "string" and out and out[-1][0] == "string":
            out[-1] = ("string", out[-1][1] + unquoted(m.group()))
        elif m.lastgroup:
            out.append((m.lastgroup, unquoted(m.group()) if m.lastgroup == "string" else m.group()))
    return out


def read(text):
    """{name: (sentence, query)} of INVARIANT(name, "sentence", "query") rows; ValueError for anything else."""
    shape = [("word", "INVARIANT"), ("sign", "("), ("word", None), ("sign", ","), ("string", None), ("sign", ","), ("string", None), ("sign", ")")]
    found, rest = {}, tokens(text)
    while rest:
        row, rest = rest[:len(shape)], rest[len(shape):]
        if len(row) < len(shape) or any(k != kind or value not in (None, v) for (k, v), (kind, value) in zip(row, shape)):
            raise ValueError(f"not a row INVARIANT(name, \"sentence\", \"query\"): {row}")
        name, sentence, query = row[2][1], row[4][1], row[6][1]
        if name in found:
            raise ValueError(f"{name} stands twice")
        found[name] = (sentence, query)
    if not found:
        raise ValueError("no invariants")
    return found


with open(os.path.join(ROOT, "cli", "invariants.tbl"), encoding="utf-8") as file:
    INVARIANTS = read(file.read())
SENTENCES = {name: sentence for name, (sentence, _) in INVARIANTS.items()}
QUERIES = {name: query for name, (_, query) in INVARIANTS.items()}


def violations(source):
    """{name: rows} of what does not hold; source.rows(query) asks as a role that sees every table."""
    asked = source.rows(" UNION ALL ".join(f"SELECT '{name}' AS name, (SELECT json_agg(v) FROM ({query}) v) AS found"
                                           for name, query in QUERIES.items()))
    return {f"{a['name']}: {SENTENCES[a['name']]}": a["found"][:5] for a in asked if a["found"]}
