# SPDX-License-Identifier: Apache-2.0
"""What a part hands back, and the markdown of all of them."""


def short(value):
    """A figure as people read it."""
    if isinstance(value, float):
        if abs(value) >= 1000:
            return f"{value:,.0f}"
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def ms(us):
    return f"{us / 1000:.2f}" if us < 10000 else f"{us / 1000:.1f}"


class Section:
    def __init__(self, name, title):
        self.name, self.title = name, title
        self.blocks = []  # markdown, in order
        self.figures = {}  # raw, for --json
        self.asked = []  # (what, value text, asked text, verdict)

    def say(self, text):
        self.blocks.append(text)

    def table(self, head, rows):
        lines = ["| " + " | ".join(map(str, head)) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(short(c) for c in row) + " |" for row in rows]
        self.blocks.append("\n".join(lines))

    def keep(self, **figures):
        self.figures.update(figures)

    def at_least(self, what, value, wanted):
        self.ask(what, value, f">= {wanted}", value >= wanted)

    def at_most(self, what, value, wanted):
        self.ask(what, value, f"<= {wanted}", value <= wanted)

    def ask(self, what, value, wanted, met):
        """A figure beside what was asked of it; a verdict for the reader, never an assertion."""
        self.asked.append((what, short(value), wanted, "met" if met else "**missed**"))
        self.figures.setdefault("asked", []).append({"what": what, "value": value, "asked": wanted, "met": bool(met)})

    def absent(self, what, why, wanted="-"):
        """What could not be measured: said, not left out."""
        self.asked.append((what, why, wanted, "not measured"))
        self.figures.setdefault("asked", []).append({"what": what, "value": None, "asked": wanted, "why": why})

    def markdown(self):
        return "\n\n".join([f"## {self.title}"] + self.blocks)


def head(machine, options, command):
    return f"""# Results

`cmake --preset bench && ninja -C build/bench && {command}` on {machine}; fsync and synchronous_commit on, everything (load client,
fake model, cluster, node with one worker) on the same machine, {options.seconds:g} s a measure. Numbers move with the machine by a factor of two
between minutes, so what counts is the ratio to the yardstick of the same part: each part has a node and a cluster of its own, and
pgbench stands before and after what it is compared with."""


def markdown(machine, options, command, sections):
    asked = [row for s in sections for row in s.asked]
    summary = Section("summary", "What was asked")
    if asked:
        summary.table(["measure", "value", "asked", ""], asked)
    return "\n\n".join([head(machine, options, command)] + [s.markdown() for s in ([summary] if asked else []) + sections]) + "\n"
