"""The table at the end: per engine one of ratios, then one of everybody's own figures with their range."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from bench.contestants import BY_NAME, FLOOR, OURS
from bench.measures import ENGINES, Measure
from bench.results import Figure, Results

TITLES = {"postgres": "PostgreSQL", "sqlite": "SQLite"}
NONE = "–"


def tables(results: Results, measures: Sequence[Measure], peers: Sequence[str]) -> str:
    """All tables as text, with a legend."""
    parts = []
    for engine in ENGINES:
        rows = [measure for measure in measures if measure.engine == engine]
        if rows:
            there = [peer for peer in peers if any((engine, peer, m.call) in results.outcomes for m in rows)]
            parts += [f"{TITLES[engine]}", grid(ratios(results, rows, there)), ""]
            if there:
                parts += [f"{TITLES[engine]}, the peers' own figures", grid(own(results, rows, there)), ""]
    return "\n".join([*parts, *unmeasured(results), *settings(peers), machine(), LEGEND])


def settings(peers: Sequence[str]) -> list[str]:
    """How each peer was measured, in a line."""
    return ["The peers' settings (more of them at the head of each module in bench/peers)"] * bool(peers) + [
        f"  {BY_NAME[peer].settings().splitlines()[0]}" for peer in peers
    ]


def machine() -> str:
    """Where the figures come from, and how busy it was at the end: others' load makes them smaller."""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}{load}"


LEGEND = """\
Median (lowest–highest of the rounds). ÷ is ours divided by theirs: above 1 is faster for jobs/s, below 1 is
better for times and costs. A target is followed by ✓ or ✗; bench/README.md says how each figure is taken."""


def ratios(results: Results, measures: Sequence[Measure], peers: Sequence[str]) -> list[list[str]]:
    """Measure, unit, ours, floor, ratio, target, then the ratio to each peer."""
    rows = [["measure", "unit", "ours", "floor", "÷ floor", "target", *(f"÷ {peer}" for peer in peers)]]
    for measure in measures:
        ours, floor = results.figure(measure, OURS), results.figure(measure, FLOOR)
        row = [measure.title, measure.unit, spread(ours), spread(floor), times(results.ratio(measure, FLOOR))]
        row.append(
            judged(str(measure.target), measure.target.met(ours.median, floor.median))
            if measure.target
            else ""
        )
        rows.append(row + [against(results, measure, peer) for peer in peers])
    return rows


def own(results: Results, measures: Sequence[Measure], peers: Sequence[str]) -> list[list[str]]:
    """Measure, unit, then each peer's figure."""
    rows = [["measure", "unit", *peers]]
    for measure in measures:
        cells = []
        for peer in peers:
            note = results.note(measure, peer)
            cells.append(spread(results.figure(measure, peer)) + (f" {note}" if note else ""))
        rows.append([measure.title, measure.unit, *cells])
    return rows


def unmeasured(results: Results) -> list[str]:
    """What went wrong in this run, with its reason: failures and time-outs, not what is missing."""
    lines = []
    for (engine, who, call), outcomes in results.outcomes.items():
        reasons = {o.problem for o in outcomes if o.problem and o.problem.startswith(("failed", "timed out"))}
        lines += [f"{engine} {call} {who}: {reason}" for reason in sorted(reasons)]
    return ["Went wrong", *lines, ""] if lines else []


def against(results: Results, measure: Measure, peer: str) -> str:
    """The ratio to a peer, and whether it reaches the target there."""
    ratio, wanted = results.ratio(measure, peer), measure.peer_targets.get(peer)
    if wanted is None:
        return times(ratio)
    return judged(f"{times(ratio)} (≥ {wanted:g})", None if ratio is None else ratio >= wanted)


def judged(text: str, met: bool | None) -> str:
    return text if met is None else f"{text} {'✓' if met else '✗'}"


def spread(figure: Figure) -> str:
    """``1,234 (1,100–1,300)``; the range only where there was more than one round; else the reason."""
    if figure.median is None:
        return (figure.problem or NONE).partition(":")[0]
    if figure.low == figure.high or figure.low is None or figure.high is None:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.low)}–{number(figure.high)})"


def number(value: float) -> str:
    """Three significant digits are more than a shared machine gives."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    if ratio is None:
        return NONE
    return f"{ratio:.0f}×" if ratio >= 100 else f"{ratio:.1f}×" if ratio >= 10 else f"{ratio:.2f}×"


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, rest = row[0].ljust(widths[0]), zip(row[1:], widths[1:], strict=True)
        lines.append("  ".join([first, *(cell.rjust(width) for cell, width in rest)]).rstrip())
    rule = "  ".join("─" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])
