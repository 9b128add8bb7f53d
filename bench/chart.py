"""A chart of rates over time under a held snapshot, as SVG: time to the right, jobs a second upwards by tens.

The scale is logarithmic, since who is measured differs by a hundred times; a line that falls has lost the
same share of its rate wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Course = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 30, 50
NAMES = {"ours": "dutiful", "floor": "floor"}
COLOURS = ("#7a5195", "#2f7ebc", "#b8860b", "#c0504d", "#4f8a8b", "#8c6d5a")
OURS, FLOOR = "#157347", "#888888"
STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 3_600)
TICKS_MAX = 8
LABEL_PX = 15


def drawn(courses: Mapping[str, Course]) -> str:
    """The picture; without any course it says that there is none."""
    lines = {who: [(t, rate) for t, rate in course if rate > 0] for who, course in courses.items()}
    lines = {who: course for who, course in lines.items() if course}
    if not lines:
        return _framed(['<text x="20" y="40">nobody was measured under a held snapshot</text>'])
    last = max(t for course in lines.values() for t, _ in course)
    rates = [rate for course in lines.values() for _, rate in course]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    high = max(high, low + 1)

    def x(t: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * t / last

    def y(rate: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(rate) - low) / (high - low)

    parts = []
    for power in range(low, high + 1):
        at = y(10**power)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{at + 4:.1f}">{10**power:,}</text>')
    step = next((step for step in STEPS_S if last / step <= TICKS_MAX), STEPS_S[-1])
    for tick in range(0, int(last) + 1, step):
        parts.append(f'<text class="mid" x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 20}">{tick}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="mid" x="{middle:.0f}" y="{HEIGHT - 10}">seconds since the snapshot was taken</text>'
    )
    parts.append(f'<text x="{LEFT - 50}" y="{TOP - 12}">jobs a second</text>')
    colours = iter(COLOURS * len(lines))
    labels: list[tuple[float, float, str, str]] = []
    for who, course in lines.items():
        colour = OURS if who == "ours" else FLOOR if who == "floor" else next(colours)
        points = " ".join(f"{x(t):.1f},{y(rate):.1f}" for t, rate in course)
        wide = 3 if who == "ours" else 2
        parts.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="{wide}"/>')
        if len(course) == 1:
            across, down = points.split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="4" fill="{colour}"/>')
        labels.append((y(course[-1][1]), x(course[-1][0]), NAMES.get(who, who), colour))
    for at, (_, end, name, colour) in zip(
        apart([label[0] for label in sorted(labels)]), sorted(labels), strict=True
    ):
        parts.append(f'<text x="{end + 8:.1f}" y="{at + 4:.1f}" style="fill:{colour}">{escape(name)}</text>')
    return _framed(parts)


def apart(places: Sequence[float]) -> list[float]:
    """These (sorted) heights, moved down where two labels would lie upon each other."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + LABEL_PX) if found else place)
    return found


STYLE = (
    "text{font:13px sans-serif;fill:#333}.end{text-anchor:end}.mid{text-anchor:middle}"
    ".grid{stroke:#ddd}polyline{fill:none}"
)


def _framed(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    title = "<title>Jobs a second over time while another session holds a snapshot</title>"
    ground = f'<style>{STYLE}</style>\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    return "\n".join([head, title, ground, *parts, "</svg>", ""])
