"""Writes the tables of docs/performance.md anew from figures: ``python -m bench.pages FILE.json …``.

Of several runs the medians are shown, of ratios too: each is of one run, since moods of the machine are. What
stands between the two marks in the page is replaced, and docs/pictures/held.svg is drawn. Nothing is measured
here, and no figure is written by hand: what says something about them stands outside the marks.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.chart import drawn
from bench.contestants import BY_NAME
from bench.measures import MEASURES, Measure
from bench.report import NONE, TITLES, number, times
from bench.results import against

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
PICTURE = PAGE.parent / "pictures" / "held.svg"
BEGIN, END = "<!-- figures: written by python -m bench.pages -->", "<!-- end of the figures -->"
OURS_HEAD = ("measure", "unit", "dutiful", "floor", "÷ floor", "target")


def replaced(page: str, figures: Mapping[str, Any]) -> str:
    """The page with the tables of these figures between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks its marks: {BEGIN} and {END}")
    return f"{before}{begin}\n\n{written(figures)}\n\n{end}{after}"


def combined(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One run of several: each figure's median, and what follows from it. Rows that only some have stay."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in (row for run in runs for row in run["measures"]):
        rows.setdefault(row["name"], []).append(row)
    courses = {who: course for run in runs for who, course in run["courses"].items()}
    settings = {who: text for run in runs for who, text in run["settings"].items()}
    measures = [_combined(measure, rows[measure.key]) for measure in MEASURES if measure.key in rows]
    return {**runs[-1], "runs": len(runs), "measures": measures, "courses": courses, "settings": settings}


def _combined(measure: Measure, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ours, floor = median([row["ours"] for row in rows]), median([row["floor"] for row in rows])
    ratio = median([row["ratio"] for row in rows])
    names = dict.fromkeys(name for row in rows for name in row["peers"])
    target = measure.target
    if target is None:
        met = None
    else:
        met = target.met(ratio, 1.0) if target.kind == "ratio" else target.met(_number(ours), _number(floor))
    return {
        **rows[-1],
        "ours": ours,
        "floor": floor,
        "ratio": ratio,
        "met": met,
        "peers": {name: median([row["peers"].get(name) for row in rows]) for name in names},
        "against": {
            name: against(
                median([row["against"].get(name, {}).get("ratio") for row in rows]),
                measure.peer_targets.get(name),
            )
            for name in names
        },
    }


def median(found: Sequence[Any]) -> Any:
    """Of those that are numbers; else what stands there instead of one."""
    numbers = [value for value in found if isinstance(value, (int, float))]
    return statistics.median(numbers) if numbers else found[-1]


def _number(value: float | str | None) -> float | None:
    return None if isinstance(value, str) else value


def written(figures: Mapping[str, Any]) -> str:
    """All tables, with where they come from."""
    runs, rounds, stock = figures.get("runs", 1), figures["sizes"]["rounds"], figures["sizes"]["state_stock"]
    many = f"medians of {runs} runs, each of" if runs > 1 else "one run of"
    parts = [
        f"Measured on {figures['date']}, {many} {rounds} {'round' if rounds == 1 else 'rounds'}"
        f" (size {figures['size']}; many: {stock:,} jobs); {figures['machine']}."
    ]
    for engine, title in TITLES.items():
        rows = [row for row in figures["measures"] if row["name"].startswith(f"{engine}.")]
        if rows:
            parts += [f"### {title}", table([OURS_HEAD, *map(of_ours, rows)])]
            parts += of_peers(title, rows)
    parts += ["### The peers' settings", *(f"* {line}" for line in settings(figures["settings"]))]
    return "\n\n".join(parts).replace("\n\n* ", "\n* ")


def of_ours(row: Mapping[str, Any]) -> tuple[str, ...]:
    target = "" if row["target"] is None else row["target"] + {True: " ✓", False: " ✗", None: ""}[row["met"]]
    return row["title"], row["unit"], figure(row["ours"]), figure(row["floor"]), times(row["ratio"]), target


def of_peers(title: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the peers reached: one row for each of them, one column for each measure that they have."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row["peers"]))
    shown = [row for row in rows if any(isinstance(row["peers"].get(peer), float) for peer in peers)]
    if not shown:
        return []
    head = ["", *(f"{row['title']}, {row['unit']}" for row in shown)]
    body = [["dutiful", *(figure(row["ours"]) for row in shown)]]
    body += [[peer, *(compared(row, peer) for row in shown)] for peer in peers]
    return [f"#### {title}: the peers, and dutiful ÷ peer", table([head, *body])]


def compared(row: Mapping[str, Any], peer: str) -> str:
    """A peer's figure, and ours as a multiple of it, with a sign where something is aimed at."""
    against = row["against"].get(peer, {})
    sign = {True: " ✓", False: " ✗", None: ""}[against.get("met")]
    ratio = f" ({times(against['ratio'])}{sign})" if against.get("ratio") else ""
    return figure(row["peers"].get(peer)) + ratio


def figure(value: float | str | None) -> str:
    if isinstance(value, str):
        return value.partition(":")[0]
    return NONE if value is None else number(value)


def settings(found: Mapping[str, str]) -> list[str]:
    """The first paragraphs of what the modules of the peers say."""
    return [" ".join(text.split()) for peer, text in found.items() if peer in BY_NAME]


def table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def main(arguments: Sequence[str]) -> None:
    if not arguments:
        sys.exit("python -m bench.pages FILE …: the figures that ./dev bench --json FILE wrote")
    figures = combined([json.loads(Path(argument).read_text()) for argument in arguments])
    PAGE.write_text(replaced(PAGE.read_text(), figures))
    if figures["courses"]:
        PICTURE.write_text(drawn(figures["courses"]))


if __name__ == "__main__":
    main(sys.argv[1:])
