"""The page: tables and targets as Markdown."""
import dataclasses


@dataclasses.dataclass
class Target:
    """A figure that was to be reached."""
    what: str
    wanted: str
    measured: str
    reached: bool | None  # None: not measured here
    why: str = ""


@dataclasses.dataclass
class Check:
    """Whether outputs agree."""
    what: str
    found: str
    holds: bool


@dataclasses.dataclass
class Section:
    """A part of the comparison."""
    title: str
    text: str
    header: list = dataclasses.field(default_factory=list)
    rows: list = dataclasses.field(default_factory=list)
    targets: list = dataclasses.field(default_factory=list)
    checks: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows] + [""]


def verdict(target):
    return {True: "reached", False: "**missed**", None: "not measured"}[target.reached] + (f": {target.why}" if target.why else "")


def render(intro, machine, sections):
    lines = ["# Beside its peers", "", *intro, "", "## Targets", ""]
    targets = [target for section in sections for target in section.targets]
    lines += table(["figure", "target", "here", ""], [[t.what, t.wanted, t.measured, verdict(t)] for t in targets])
    checks = [check for section in sections for check in section.checks]
    lines += ["## Do the outputs agree?", ""]
    lines += table(["what", "found", ""], [[c.what, c.found, "holds" if c.holds else "**DOES NOT HOLD**"] for c in checks])
    for section in sections:
        lines += [f"## {section.title}", "", section.text, ""]
        if section.rows:
            lines += table(section.header, section.rows)
        lines += [f"- {note}" for note in section.notes] + ([""] if section.notes else [])
    lines += ["## The machine", "", *table(["", ""], machine)]
    return "\n".join(lines).rstrip() + "\n"
