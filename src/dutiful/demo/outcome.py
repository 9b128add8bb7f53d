"""How it ended: the verdict from the books and from what was seen, as text and as a document."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..model.verdict import Verdict
from . import books
from .bank import Charge
from .books import Book
from .orders import OrderFile
from .places import Folder
from .reconciled import Reconciled
from .story import Story
from .watch import Hit

SCHEMA = "dutiful/demo/1"
DRILL = (
    "dutiful", "drill", "dutiful.demo.lane_c:charge", "--fixture", "none",
    "--args", '["ord-1", 1250, "EUR"]',
)  # fmt: skip
"""Lane C's task by itself, with the bank behind HTTP: in a drill that is a simulated provider."""
TITLES = {"A": "ack first", "B": "ack last", "C": "dutiful"}


@dataclass(frozen=True)
class Facts:
    """What was done to the lanes, and what the bank says."""

    charges: Sequence[Charge]
    repeats_answered: int
    hits: Mapping[str, Sequence[Hit]]
    stored: int
    """How many of lane C's requests became jobs."""
    folded: int
    """How many of lane C's requests were answered with a job that was there."""
    poison: str
    retried: int
    left: Mapping[str, int]
    by_visitor: bool = False
    verdict: Verdict | None = None
    reconciled: Mapping[str, Reconciled] = field(default_factory=dict)
    """What ``app.reconcile`` found in each lane."""


@dataclass(frozen=True)
class Outcome:
    """The books, the facts, and why it does not hold (empty if it does)."""

    found: OrderFile
    facts: Facts
    books: tuple[Book, ...]
    why: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether lane C was exact and the others were not, under crashes that did happen."""
        return not self.why


def reckon(found: OrderFile, facts: Facts, failure: str) -> Outcome:
    """Open the books. ``failure`` says what kept the demonstration from being done, if anything did."""
    kept = tuple(books.keep(letter, title, found.orders, facts.charges) for letter, title in TITLES.items())
    why = [failure] if failure else []
    why += books.shortcomings(*kept)
    count = len(found.orders)
    if (facts.stored, facts.folded) != (count, count):
        why.append(
            f"lane C stored {facts.stored} jobs and folded {facts.folded} duplicates of {count} orders,"
            f" each enqueued twice."
        )
    zombies = [hit for hit in facts.hits["C"] if hit.crash.how == "stop"]
    if not failure and not all(hit.refused for hit in zombies):
        why.append("lane C's worker that was woken after its lease was not seen refused.")
    if not failure:
        why += [said for book in kept if (said := _disagrees(book, facts.reconciled.get(book.letter)))]
    return Outcome(found, facts, kept, tuple(why))


def _disagrees(book: Book, found: Reconciled | None) -> str:
    """Whether app.reconcile says something else of a lane than the books, which share nothing with it."""
    if found is None:
        return f"lane {book.letter} was not reconciled."
    seen, kept = (
        (found.expected, found.missing, found.surplus),
        (book.orders, len(book.lost), len(book.doubled)),
    )
    if seen == kept:
        return ""
    return (
        f"app.reconcile found {found.words} in lane {book.letter}, and the books {len(book.lost)} lost and"
        f" {len(book.doubled)} doubled of {book.orders}."
    )


def lines(end: Outcome, story: Story, folder: Folder | None) -> list[str]:
    """The table, the verdict, and where to go from here."""
    facts, by_letter = end.facts, {book.letter: book for book in end.books}
    remarks = {letter: ", ".join(_remarks(end, letter)) for letter in by_letter}
    found = ["", *books.table(end.books, remarks), ""]
    if facts.reconciled:
        found.append("Reconciled with the bank by app.reconcile, as dutiful reconcile does it:")
        found += [f" {letter}  {facts.reconciled[letter].words}" for letter in sorted(facts.reconciled)]
        found.append("")
    if end.ok:
        mark = story.paint("✓", "green")
        found.append(
            f"{mark} Checked against the bank's own records. {facts.repeats_answered} calls of lane C came"
            " again, and their keys led to the first charge."
        )
    else:
        mark = story.paint("✗", "red")
        found += [f"{mark} This demonstrates nothing: {reason}" for reason in end.why]
    if (judged := facts.verdict) is not None:
        four = "   ".join(f"{one.name} {one.amount:,} {one.sign}" for one in judged.numbers)
        colour = {"well": "green", "person": "red"}.get(judged.state, "yellow")
        sign = story.paint(judged.sign, colour)
        found += [f"{sign} dutiful verdict, of lane C: {judged.headline}", f"  {four}"]
    return [*found, "", *_next_steps(folder)]


def _remarks(end: Outcome, letter: str) -> list[str]:
    hits = end.facts.hits[letter]
    kills, zombies = _number(hits, "kill"), _number(hits, "stop")
    found = [_count(kills, "kill"), _count(zombies, "zombie")]
    if letter == "C":
        found.append(f"{_count(end.facts.folded, 'duplicate request')} folded")
        found.append(f"{end.facts.retried} poison order retried")
    return found


def _next_steps(folder: Folder | None) -> list[str]:
    code = Path(__file__).with_name("lane_c.py")
    listed = "dutiful job list --store"
    look = f"{listed} {folder.jobs_url}" if folder else f"dutiful demo --keep, then {listed} URL"
    return [
        "Now yours:",
        f"  1  read lane C, one task:            {code}",
        f"  2  look at its jobs and their runs:  {look}",
        f"  3  cut that task off at every step:  {shlex.join(DRILL)}",
        "  4  write a task like it, run it:     dutiful dev MODULE:APP",
    ]


def document(end: Outcome, *, seed: int, fast: bool, took_s: float, folder: Folder | None) -> dict[str, Any]:
    """The whole as one document."""
    found, facts = end.found, end.facts
    return {
        "schema": SCHEMA,
        "ok": end.ok,
        "why": list(end.why),
        "seed": seed,
        "fast": fast,
        "took_s": round(took_s, 1),
        "orders": {
            "file": str(found.path),
            "used": len(found.orders),
            "left_over": found.left_over,
            "bad": [{"line": bad.line, "problem": bad.problem} for bad in found.bad],
        },
        "lanes": {book.letter: _lane(book, facts) for book in end.books},
        "crashes": [_crash(letter, hit) for letter, hits in facts.hits.items() for hit in hits],
        "folder": str(folder.path) if folder else None,
        "retried_by_visitor": facts.by_visitor,
        "verdict": None
        if facts.verdict is None
        else {
            "state": facts.verdict.state,
            "headline": facts.verdict.headline,
            **{one.name: one.amount for one in facts.verdict.numbers},
        },
    }


def _lane(book: Book, facts: Facts) -> dict[str, Any]:
    hits = facts.hits[book.letter]
    fields: dict[str, Any] = {
        "title": book.title,
        "exact": book.exact,
        "orders": book.orders,
        "charged": book.charged,
        "lost": len(book.lost),
        "doubled": book.surplus,
        "wrong": len(book.wrong),
        "reconciled": None if book.letter not in facts.reconciled else asdict(facts.reconciled[book.letter]),
        "lost_orders": list(book.lost),
        "doubled_orders": list(book.doubled),
        "kills": _number(hits, "kill"),
        "zombies": _number(hits, "stop"),
        "left": facts.left[book.letter],
    }
    if book.letter == "C":
        fields |= {
            "stored": facts.stored,
            "duplicates_folded": facts.folded,
            "repeats_answered": facts.repeats_answered,
            "late_writes_refused": sum(hit.refused for hit in hits),
            "poison": facts.poison,
            "poison_retried": facts.retried,
        }
    return fields


def _crash(letter: str, hit: Hit) -> dict[str, Any]:
    return {
        "lane": letter,
        "order_id": hit.crash.order_id,
        "point": hit.crash.where,
        "how": hit.crash.how,
        "worker": hit.member.name,
        "pid": hit.pid,
        "job_id": hit.report.job_id or None,
        "run_no": hit.report.run_no or None,
        "run_no_at_end": hit.run_no or None,
        "lapsed_s": None if hit.lapsed_s is None else round(hit.lapsed_s, 2),
    }


def _number(hits: Sequence[Hit], how: str) -> int:
    return sum(hit.crash.how == how for hit in hits)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
