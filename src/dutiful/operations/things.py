"""From rows to things: one cause is one thing, in a sentence, however many jobs it has. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..model.spans import span
from ..model.verdict import Name, Thing
from .plan import Row
from .thing_facts import WAIT_US, DueHere, QueueFact, WorkerHere
from .words import are, have, jobs, plural, stand, their, them

OVERDUE_US = 60_000_000
"""So long after its instant a schedule that nobody made is late."""
WINDOW = 200

DOUBLED = frozenset({"I1", "I2", "I5", "I7", "I13", "I15", "place"})
"""Invariants of which a breach means that something was done twice; any other breach is told as lost."""


# ── lost ────────────────────────────────────────────────────────────────────────────────────


def unservable(
    heads: Sequence[DueHere], workers: Sequence[WorkerHere], queues: Mapping[str, QueueFact], now: int
) -> list[Thing]:
    """Due for over a minute, and no worker takes their queue, or none of these knows the task."""
    lost: dict[tuple[str, str | None], list[DueHere]] = defaultdict(list)
    full = _full(heads)
    for one in heads:
        fact = queues.get(one.queue)
        if one.oldest_us >= now - WAIT_US or (fact is not None and fact.paused_us is not None):
            continue  # a pause is told as late
        taking = [worker for worker in workers if worker.served(now) and one.queue in worker.queues]
        if not taking:
            lost[one.queue, None].append(one)
        elif not any(worker.tasks.get(one.task, -1) >= one.version for worker in taking):
            lost[one.queue, one.task].append(one)
    found = []
    for (queue, task), ones in lost.items():
        count, text = _count(sum(one.count for one in ones), queue in full)
        since = min(one.oldest_us for one in ones)
        if task is None:
            said = f'{text} in queue "{queue}" {have(count)} no live worker that takes it'
            found.append(
                _thing(
                    f"unserved:{queue}",
                    "lost",
                    said,
                    count,
                    since,
                    f"queues/{queue}",
                    f"dutiful worker -q {queue}",
                )
            )
        else:
            said = f'{text} in queue "{queue}" {have(count)} no live worker that knows task {task}'
            if any(
                task in worker.tasks for worker in workers if worker.served(now) and queue in worker.queues
            ):
                said += f" with version {max(one.version for one in ones)} of its arguments"
            found.append(
                _thing(
                    f"unservable:{queue}:{task}",
                    "lost",
                    said,
                    count,
                    since,
                    f"queues/{queue}",
                    f"dutiful job list --queue {queue} --task {task}",
                )
            )
    return found


def of_silent(workers: Sequence[WorkerHere], held: Mapping[int, Row], now: int) -> list[Thing]:
    """What silent workers hold: late once three heartbeats are missing, lost once nobody reaped in time."""
    found = []
    for worker in workers:
        if worker.id not in held or not worker.silent(now):
            continue
        count, since = int(held[worker.id][1]), held[worker.id][2]
        text = jobs(count)
        quiet = span(now - worker.beat_us)
        if worker.overdue(now):
            said = (
                f"{text} still {stand(count)} as running on {worker}, silent for {quiet},"
                f" and nobody took {them(count)} back"
            )
            found.append(
                _thing(f"stranded:{worker.id}", "lost", said, count, since, "workers", "dutiful doctor")
            )
        else:
            said = f"{text} on {worker}, silent for {quiet}"
            found.append(
                _thing(
                    f"silent:{worker.id}", "late", said, count, worker.beat_us, "workers", "dutiful doctor"
                )
            )
    return found


def of_occurrences(rows: Sequence[Row]) -> list[Thing]:
    """Occurrences that were missed and have no job, until a person says whether they shall have one."""
    return [
        _thing(
            f"occurrences:{name}",
            "lost",
            f"{count} missed {plural(count, 'occurrence')} of schedule {name} {have(count)} no job",
            int(count),
            since,
            f"schedule/{name}",
            f"dutiful schedule show {name}",
        )
        for name, count, since in rows
    ]


def of_books(book: Row | None) -> list[Thing]:
    """Jobs that were accepted and are nowhere (lost), or that are there and were never accepted (doubled)."""
    if book is None:
        return []
    accepted, missing, surplus, counted = int(book[0]), int(book[1]), int(book[2]), book[3]
    found = []
    for count, number, key in ((missing, "lost", "books"), (surplus, "doubled", "books:surplus")):
        if count and number == "lost":
            said = f"{jobs(count)} of {accepted:,} accepted {are(count)} nowhere to be found"
            found.append(_thing(key, "lost", said, count, counted, "", "dutiful verify --full"))
        elif count:
            said = f"{jobs(count)} {are(count)} there that nobody accepted"
            found.append(_thing(key, "doubled", said, count, counted, "", "dutiful verify --full"))
    return found


# ── doubled ─────────────────────────────────────────────────────────────────────────────────


def of_doubts(rows: Sequence[Row]) -> list[Thing]:
    """Jobs in doubt, by task."""
    return [
        _thing(
            f"doubt:{task}",
            "doubled",
            f"{jobs(int(count))} of {task} {are(int(count))} in doubt: nobody knows whether "
            f"{their(int(count))} work was done",
            int(count),
            since,
            f"doubts?task={task}",
            f"dutiful doubt list --task {task}",
        )
        for task, count, since in rows
    ]


def of_checks(rows: Sequence[Row]) -> list[Thing]:
    """Invariants that a worker's look found broken, until a full look finds them whole."""
    found = []
    for name, invariant, _, since, count, ids, _ in rows:
        if not count or ids is None or invariant == "I11":  # that is told by the books themselves
            continue
        doubled = invariant in DOUBLED
        said = f"invariant {invariant} is broken for {jobs(int(count))}"
        found.append(
            _thing(
                f"invariant:{name}",
                "doubled" if doubled else "lost",
                said,
                int(count),
                since,
                "",
                "dutiful verify",
            )
        )
    return found


# ── late ────────────────────────────────────────────────────────────────────────────────────


def of_queues(heads: Sequence[DueHere], queues: Mapping[str, QueueFact], now: int) -> list[Thing]:
    """Queues whose oldest due job is beyond their target, and paused ones that hold due jobs."""
    oldest: dict[str, int] = {}
    for one in heads:
        oldest[one.queue] = min(one.oldest_us, oldest.get(one.queue, one.oldest_us))
    found = []
    for name, since in oldest.items():
        fact = queues.get(name)
        if fact is None:
            continue
        waited = now - since
        if fact.paused_us is not None:
            why = f": {fact.reason}" if fact.reason else ""
            said = f"queue {name} is paused by {fact.paused_by}{why}; its oldest due job waits {span(waited)}"
            found.append(
                _thing(
                    f"paused:{name}",
                    "late",
                    said,
                    1,
                    fact.paused_us,
                    f"queues/{name}",
                    f"dutiful queue resume {name}",
                )
            )
        elif fact.target_us is not None and waited > fact.target_us:
            said = f"queue {name}: oldest due {span(waited)}, target {span(fact.target_us)}"
            times = waited // max(1, fact.target_us)
            found.append(
                _thing(
                    f"queue:{name}",
                    "late",
                    said,
                    1,
                    since + fact.target_us,
                    f"queues/{name}",
                    "dutiful queue list",
                    times,
                )
            )
    return found


def past_their_time(heads: Sequence[DueHere]) -> list[Thing]:
    """Jobs that nobody began before their deadline, by queue and task."""
    by_task: dict[tuple[str, str], list[DueHere]] = defaultdict(list)
    for one in heads:
        if one.expired:
            by_task[one.queue, one.task].append(one)
    found, full = [], _full(heads)
    for (queue, task), ones in by_task.items():
        count, text = _count(sum(one.expired for one in ones), queue in full)
        past = f"{are(count)} past {their(count)} deadline and {have(count)} not begun"
        said = f"{text} of {task} in queue {queue} {past}"
        since = min(one.expired_us for one in ones if one.expired_us is not None)
        found.append(
            _thing(
                f"deadline:{queue}:{task}",
                "late",
                said,
                count,
                since,
                f"queues/{queue}",
                f"dutiful job list --queue {queue} --task {task}",
            )
        )
    return found


def of_schedules(rows: Sequence[Row], now: int) -> list[Thing]:
    """Schedules whose instant has passed, that are neither paused nor gone, and that nobody made."""
    found = []
    for row in rows:
        name, next_us, gone, paused, until = row[0], row[6], row[7], row[8], row[9]
        waits = paused is not None and (until is None or until > now)
        if gone is None and not waits and next_us is not None and next_us < now - OVERDUE_US:
            said = f"schedule {name} was due {span(now - next_us)} ago and nobody made it"
            found.append(
                _thing(
                    f"schedule:{name}",
                    "late",
                    said,
                    1,
                    next_us,
                    f"schedule/{name}",
                    f"dutiful schedule show {name}",
                )
            )
    return found


def of_gates(rows: Sequence[Row], now: int) -> list[Thing]:
    """Where the first who waits for its turn, a lock or a rate waits for longer than its queue's target."""
    found = []
    for kind, key, queue, task, run_at, target in rows:
        waited = now - run_at
        said = f"{kind} {key}: {task} waits {span(waited)}, target of queue {queue} {span(target)}"
        found.append(
            _thing(
                f"gate:{kind}:{key}",
                "late",
                said,
                1,
                run_at + target,
                "locks",
                f"dutiful gate show {key}",
                waited // max(1, target),
            )
        )
    return found


def _thing(
    key: str,
    number: Name,
    sentence: str,
    amount: int,
    since: int | None,
    link: str,
    command: str,
    size: int | None = None,
) -> Thing:
    return Thing(key, number, sentence, amount, amount if size is None else size, since, "", link, command)


def _full(heads: Sequence[DueHere]) -> set[str]:
    """Queues of which perhaps not all due jobs were looked at."""
    counts: dict[str, int] = defaultdict(int)
    for one in heads:
        counts[one.queue] += one.count
    return {queue for queue, count in counts.items() if count >= WINDOW}


def _count(count: int, full: bool) -> tuple[int, str]:
    """An amount, and how it is told where a window was full."""
    return count, f"at least {count:,} jobs" if full else jobs(count)
