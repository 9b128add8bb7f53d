"""What a job at a gate waits for, in words."""

from __future__ import annotations

from collections.abc import Collection

from ..model.spans import span
from .gate_views import COUNT_MAX, Blocked, Standing


def behind(blocked: Blocked, known: Collection[tuple[str, str]] = ()) -> tuple[str, tuple[str, ...]]:
    """A sentence, and details. ``known``: the queues that live workers take, each with a task they know."""
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
        told = _held_up(head, known) or _state(head)
        return f"it waits behind job {head.job_id} of {gate.name}.", (told, *before)
    count = gate.slots if gate.kind == "fair" else len(inside)
    names = ", ".join(one.job_id for one in inside) or "others"
    rest = " and others" if count > len(inside) else ""
    sentence = f"{count} of {gate.slots} places of {gate.name} are held by {names}{rest}."
    waiting = max(0, blocked.ahead - gate.slots)
    details = [told for told in (_held_up(one, known) for one in inside) if told is not None]
    if waiting:
        details.append(f"{waiting:,} wait before it.")
    return sentence, tuple(details)


def _held_up(one: Standing, known: Collection[tuple[str, str]]) -> str | None:
    """Of one who is through and is not claimed, as nobody may or can: why, and what to do."""
    if one.stuck:
        return (
            f'Job {one.job_id} holds its place while its queue "{one.queue}" is paused: '
            f"dutiful queue resume {one.queue}, or dutiful job cancel {one.job_id}"
        )
    if one.state == "ready" and not one.waits and one.queue and (one.queue, one.task) not in known:
        return (
            f'Job {one.job_id} holds its place, and no live worker of queue "{one.queue}" knows its task '
            f'"{one.task}": start one, or dutiful job cancel {one.job_id}'
        )
    return None


def _state(head: Standing) -> str:
    if head.state == "dead":
        return f"That one is dead, and blocks: dutiful dead retry {head.job_id}, or waive it."
    if head.state == "in_doubt":
        return f"That one is in doubt, and blocks: dutiful doubt show {head.job_id}"
    if head.state == "running":
        return "That one runs."
    return f"That one waits, too: dutiful job why {head.job_id}"
