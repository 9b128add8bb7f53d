"""What ``dutiful top`` shows, as lines of styled text: a pure function of what was read and typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..model.spans import span
from ..model.verdict import Queue
from ..operations.attention import Item
from ..operations.glance import Glance
from .tables import shown
from .times import absolute

Styled = tuple[str, str]
Line = list[Styled]
Sort = Literal["late", "name", "due"]

SORTS: tuple[Sort, ...] = ("late", "name", "due")
BARS = "▁▂▃▄▅▆▇█"
STYLE_OF = {"well": "green", "person": "bold red", "unknown": "bold yellow"}
HELP = "q quit  p pause  s sort  / filter  ↑↓ choose  ⏎ open  a acknowledge…  r retry…"


@dataclass(frozen=True)
class View:
    """What the person at the terminal wants to see."""

    sort: Sort = "late"
    filter: str = ""
    typing: str | None = None
    """What is being typed into the line at the bottom, and None where nothing is."""
    asks: Literal["filter", "note"] = "filter"
    chosen: int = 0
    opened: bool = False
    paused: bool = False
    said: str = ""

    def moved(self, by: int, count: int) -> View:
        """Another line is chosen."""
        return replace(self, chosen=max(0, min(count - 1, self.chosen + by)), said="")


def items_of(glance: Glance, view: View) -> list[Item]:
    """The things that are shown, in order."""
    return [
        one for one in glance.attention.items if view.filter in one.thing.sentence or view.filter in one.owner
    ]


def screen(glance: Glance, view: View, *, width: int, height: int, utc: bool) -> list[Line]:
    """The lines, cut to the width; no more than the height."""
    verdict = glance.attention.verdict
    now = verdict.as_of_us
    four = "  ".join(f"{one.name} {one.amount:,} {one.sign}" for one in verdict.numbers)
    live = "paused" if view.paused else "live"
    lines: list[Line] = [
        [(f"{verdict.sign} {verdict.headline}", STYLE_OF[verdict.state])],
        [(f"{four}", "bold"), (f"   {verdict.app}  {absolute(now, utc=utc)}  {live}", "dim")],
        [],
    ]
    lines += _queues(glance, view, now)
    lines.append([])
    lines += _running(glance, view, now)
    lines.append([])
    things = items_of(glance, view)
    lines += _detail(things[view.chosen], now, utc) if view.opened and things else _things(things, view, now)
    lines = lines[: max(0, height - 1)]
    bottom = HELP
    if view.typing is not None:
        bottom = f"/{view.typing}" if view.asks == "filter" else f"note: {view.typing}"
    elif view.said:
        bottom = view.said
    lines.append([(bottom, "reverse" if view.typing is not None else "dim")])
    return [_cut(line, width) for line in lines]


def _queues(glance: Glance, view: View, now: int) -> list[Line]:
    shown_queues = [one for one in glance.attention.verdict.queues if view.filter in one.name]
    if view.sort == "name":
        shown_queues.sort(key=lambda one: one.name)
    elif view.sort == "due":
        shown_queues.sort(key=lambda one: (-_due(one), one.name))
    else:
        shown_queues.sort(key=lambda one: (-_lateness(one), -(one.oldest_us or 0), one.name))
    lines: list[Line] = [
        [
            (
                f"{'queue':<20} {'due':>9} {'oldest / target':>18} {'run':>5} {'in/min':>8} {'out/min':>8}"
                f" {'clear in':>9} {'p95 wait':>9}  10 min",
                "bold",
            )
        ]
    ]
    for one in shown_queues:
        running = sum(1 for job in glance.running if job.queue == one.name)
        oldest = "" if one.oldest_us is None else span(one.oldest_us)
        target = "" if one.target_us is None else f" / {span(one.target_us)}"
        depths = glance.depths.get(one.name, ())
        state = "  PAUSED" if one.paused_by is not None else "  ✗ late" if one.late else ""
        due = f"{shown(one.name)[:20]:<20} {_due(one):>9,} {oldest + target:>18} {running:>5}"
        rate = glance.rates.get(one.name)
        gone = "" if rate is None else _per_min(rate.out_per_min)
        came = "" if rate is None else _per_min(rate.out_per_min + _growth(depths))
        waited = "" if rate is None or rate.wait_p95_us is None else span(rate.wait_p95_us)
        text = f"{due} {came:>8} {gone:>8} {_clear(depths):>9} {waited:>9}  {bars(depths)}"
        lines.append([(text, ""), (state, "bold red")])
    return lines


def _running(glance: Glance, view: View, now: int) -> list[Line]:
    found = [one for one in glance.running if view.filter in one.task or view.filter in one.queue]
    more = f"  ({len(found)} in all)" if len(found) > 5 else ""
    lines: list[Line] = [[(f"running, the longest first{more}", "bold")]]
    for one in found[:5]:
        took = span(max(0, now - one.claimed_us))
        lines.append([(f"  {shown(one.task)[:40]:<40} {one.id}  {took:>8}  {shown(one.host or '')}", "")])
    return lines if found else [[("nothing runs", "dim")]]


def _things(things: Sequence[Item], view: View, now: int) -> list[Line]:
    if not things:
        return [
            [
                (
                    "Nothing needs a person." if not view.filter else f"Nothing with {view.filter!r} in it.",
                    "green",
                )
            ]
        ]
    lines: list[Line] = []
    for number, one in enumerate(things):
        since = "" if one.thing.since_us is None else f"  {span(max(0, now - one.thing.since_us))}"
        mark = "seen" if one.seen else one.thing.number.upper()
        style = "reverse" if number == view.chosen else "dim" if one.seen else ""
        arrow, whose = ">" if number == view.chosen else " ", shown(one.owner) or "unowned"
        lines.append([(f"{arrow} {mark:<8} {shown(one.thing.sentence)}{since}  {whose}", style)])
    return lines


def _detail(one: Item, now: int, utc: bool) -> list[Line]:
    pairs = [
        ("thing", one.thing.sentence),
        ("number", one.thing.number),
        ("since", "" if one.thing.since_us is None else absolute(one.thing.since_us, utc=utc)),
        ("owner", one.owner or "nobody"),
        (
            "seen",
            ""
            if one.seen_by is None
            else f"by {one.seen_by}{' (lapsed)' if one.lapsed else ''}: {one.note or ''}",
        ),
        ("type", one.thing.command),
    ]
    return [[(f"{name:<8}", "bold"), (shown(value), "")] for name, value in pairs if value]


def _due(one: Queue) -> int:
    return max(one.due, one.depth or 0) if one.due else 0


def _lateness(one: Queue) -> float:
    return 0.0 if one.oldest_us is None else one.oldest_us / (one.target_us or 60_000_000)


def bars(depths: Sequence[tuple[int, int]], most: int = 10) -> str:
    """How deep a queue was, a bar for each look."""
    last = [depth for _, depth in depths][-most:]
    top = max(last, default=0)
    return "".join(BARS[depth * (len(BARS) - 1) // top if top else 0] for depth in last)


def _per_min(rate: float) -> str:
    return f"{max(0.0, rate):,.1f}" if rate < 10 else f"{rate:,.0f}"


def _growth(depths: Sequence[tuple[int, int]]) -> float:
    """By how many jobs a minute it got deeper: what came in is that, and what left."""
    if len(depths) < 2:
        return 0.0
    (then, was), (now, is_now) = depths[0], depths[-1]
    return (is_now - was) * 60_000_000 / max(1, now - then)


def _clear(depths: Sequence[tuple[int, int]]) -> str:
    """When it will be empty, if it goes on as between the last five looks; "–" if it does not get emptier."""
    if len(depths) < 2:
        return ""
    (then, was), (now, is_now) = depths[-min(5, len(depths))], depths[-1]
    if not is_now:
        return "0s"
    return "–" if was <= is_now else span(is_now * (now - then) // (was - is_now))


def _cut(line: Line, width: int) -> Line:
    left, cut = width, []
    for text, style in line:
        if left <= 0:
            break
        cut.append((text[:left], style))
        left -= len(text)
    return cut
