"""What a job at a gate waits for, in words."""

from __future__ import annotations

from ..model.spans import span
from .gate_views import COUNT_MAX, Blocked, Standing


def behind(blocked: Blocked) -> tuple[str, tuple[str, ...]]:
    """A sentence, and details."""
    gate = blocked.gate
    more = f"{blocked.ahead:,}{' or more' if blocked.ahead >= COUNT_MAX else ''}"
    inside = [one for one in gate.first if not one.waits][: gate.slots]
    if gate.kind == "rate":
        wait = span(blocked.next_start_us or 0) if blocked.next_start_us else "a moment"
        each = f"one start in {span(gate.per_us or 0)}, {gate.burst} at once at most"
        sentence = f"rate {gate.key} allows its start in about {wait}."
        return sentence, (f"{more} wait before it; the rate is {each}.",)
    if gate.kind == "order":
        if not gate.first:
            return f"it comes next in {gate.name}.", ()
        head = gate.first[0]
        before = (f"{more} of this order come before it.",) if blocked.ahead > 1 else ()
        return f"it waits behind job {head.job_id} of {gate.name}.", (_state(head), *before)
    count = gate.slots if gate.kind == "fair" else len(inside)
    names = ", ".join(one.job_id for one in inside) or "others"
    rest = " and others" if count > len(inside) else ""
    sentence = f"{count} of {gate.slots} places of {gate.name} are held by {names}{rest}."
    waiting = max(0, blocked.ahead - gate.slots)
    return sentence, ((f"{waiting:,} wait before it.",) if waiting else ())


def _state(head: Standing) -> str:
    if head.state == "dead":
        return f"That one is dead, and blocks: dutiful dead retry {head.job_id}, or waive it."
    if head.state == "in_doubt":
        return f"That one is in doubt, and blocks: dutiful doubt show {head.job_id}"
    if head.state == "running":
        return "That one runs."
    return f"That one waits, too: dutiful job why {head.job_id}"
