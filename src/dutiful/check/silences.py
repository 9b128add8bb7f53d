"""``# dutiful: ok DU007 — reason``: what somebody looked at and found right."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .catalogue import all_rules
from .findings import Finding
from .sources import Module, Project

MARK = re.compile(r"#\s*dutiful:\s*ok\b")
SILENCE = re.compile(
    r"#\s*dutiful:\s*ok\s+(?P<ids>DU\d{3}(?:\s*,\s*DU\d{3})*)\s*(?:(?:—|–|--|-|:)\s*(?P<reason>.*))?$"
)


@dataclass
class Silence:
    """One comment."""

    module: Module
    line: int
    covers: int
    """The line of code that it is about: its own, or the next if it stands alone."""
    ids: tuple[str, ...]
    reason: str
    text: str
    used: set[str]


def silences(project: Project) -> list[Silence]:
    """Every silence of the project."""
    return [one for module in project.matching(MARK) for one in _in_module(module)]


def _in_module(module: Module) -> Iterator[Silence]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(module.text).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return  # it parsed, so this is not about comments
    for token in tokens:
        if token.type != tokenize.COMMENT or not MARK.match(token.string):
            continue
        line = token.start[0]
        covers = line
        if not module.lines[line - 1][: token.start[1]].strip():
            covers = next(
                (
                    number
                    for number, text in enumerate(module.lines[line:], line + 1)
                    if text.strip() and not text.lstrip().startswith("#")
                ),
                line,
            )
        found = SILENCE.match(token.string.strip())
        ids = tuple(re.split(r"\s*,\s*", found["ids"])) if found else ()
        reason = (found["reason"] or "").strip() if found else ""
        yield Silence(module, line, covers, ids, reason, token.string, set())


def apply(
    findings: Iterable[Finding], found: list[Silence], carried_out: set[str]
) -> tuple[list[Finding], int]:
    """The findings that nobody silenced, with those about silences themselves; and how many were silenced."""
    left: list[Finding] = []
    count = 0
    for finding in findings:
        own = [
            one
            for one in found
            if one.module.shown == finding.path
            and finding.rule in one.ids
            and (_covers(finding, one.covers) or one.line == finding.line)
        ]
        for one in own:
            one.used.add(finding.rule)
        if own:
            count += 1
        else:
            left.append(finding)
    for one in found:
        left += _about(one, carried_out)
    return left, count


def _covers(finding: Finding, line: int) -> bool:
    return (finding.first_line or finding.line) <= line <= max(finding.last_line, finding.line)


def _about(one: Silence, carried_out: set[str]) -> Iterator[Finding]:
    source = " ".join(one.module.lines[one.line - 1].split())
    base = Finding("DU000", "E", one.module.shown, one.line, 1, "", "", "", "", source)
    rules = all_rules()
    example = f"# dutiful: ok {', '.join(one.ids) or 'DU007'} — why it is right here"
    if not one.ids:
        yield replace(base, why=f"{one.text!r} names no rule", fix=example)
        return
    unknown = [name for name in one.ids if name not in rules]
    if unknown:
        yield replace(base, why=f"there is no rule {unknown[0]}", fix="dutiful explain lists them all")
    if not one.reason:
        yield replace(base, why="a silence without a reason", fix=example)
    for name in one.ids:
        if name in carried_out and name not in one.used and name in rules:
            why = f"{name} finds nothing here: the silence is not needed"
            yield replace(base, severity="I", why=why, fix="take the comment away")
