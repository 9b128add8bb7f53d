"""What the doctor says of an app's workers: who lives, who is silent, and what nobody would run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..model.keys import near
from ..model.spans import span
from ..operations.health import Due
from ..operations.why_facts import WorkerFact
from .notes import Note, bad, note, well

BEATS_PER_LEASE = 10
BEATS_MISSED = 4
"""A beat that is so many beats old is late; at ten the worker is given up."""

SHORT_LEASE_US = 5_000_000
NAMES_MAX = 20
GRACE_US = 60_000_000
"""A job that nobody could run is news after a minute: workers may just be starting."""


def workers(
    app: str, found: Sequence[WorkerFact], due: Sequence[Due], now_us: int, known: Mapping[str, int] | None
) -> Iterator[Note]:
    """Notes on the workers of one app, and on due jobs that none of them would take."""
    subject = f"workers of {app}"
    live = [worker for worker in found if not (worker.silent or worker.alone)]
    silent = [worker for worker in found if worker.silent and not worker.alone]
    waiting = sum(one.count for one in due)
    if live:
        slots = sum(worker.slots for worker in live)
        yield well(subject, f"{_count(len(live), 'is', 'are')} alive, with {_slots(slots)}{_releases(live)}.")
    elif waiting:
        yield bad(
            subject, f"None is alive, and {_count(waiting, 'job is', 'jobs are')} due.", "dutiful worker"
        )
    else:
        yield note(subject, "None is alive; nothing is due.", "dutiful worker")
    for worker in silent:
        yield bad(
            subject,
            f"{_upper(str(worker))} has been silent for {span(worker.beat_age_us)}, longer than its "
            f"lease of {span(worker.lease_us)}.",
            "Any living worker takes back what it holds."
            if live
            else "Start a worker: it takes its jobs back.",
        )
    for worker in live:
        yield from leases(subject, worker)
    if live:
        yield from _untaken(subject, live, due, now_us, known)


def leases(subject: str, worker: WorkerFact) -> Iterator[Note]:
    """A lease is ten beats; one that is often nearly over, or short, is lost by a pause that harms nobody."""
    beat_us = worker.lease_us // BEATS_PER_LEASE
    if worker.beat_age_us > BEATS_MISSED * beat_us:
        missed = worker.beat_age_us // beat_us
        yield bad(
            subject,
            f"{_upper(str(worker))} has missed {missed} of its {BEATS_PER_LEASE} beats.",
            "Is its host, or the way to the database, overloaded?",
        )
    if worker.lease_us < SHORT_LEASE_US:
        yield note(
            subject,
            f"{_upper(str(worker))} has a lease of {span(worker.lease_us)}: a pause of that length "
            "(a frozen host, a slow network) has its jobs run again.",
            "dutiful worker --lease 30s",
        )


def _untaken(
    subject: str, live: Sequence[WorkerFact], due: Sequence[Due], now_us: int, known: Mapping[str, int] | None
) -> Iterator[Note]:
    taken = {queue for worker in live for queue in worker.queues}
    orphans: dict[str, int] = {}
    for one in due:
        if now_us - one.oldest_us < GRACE_US:
            continue
        if one.queue not in taken:
            orphans[one.queue] = orphans.get(one.queue, 0) + one.count
            continue
        able = [worker for worker in live if one.queue in worker.queues]
        if not any(worker.tasks.get(one.task, 0) >= one.args_version for worker in able):
            yield _unknown_task(subject, one, able, known)
    for queue, count in orphans.items():
        yield bad(
            subject,
            f"{_count(count, 'job is', 'jobs are')} due in queue {queue}, which no live worker takes.",
            f"dutiful worker -q {queue}",
        )


def _unknown_task(
    subject: str, due: Due, able: Sequence[WorkerFact], known: Mapping[str, int] | None
) -> Note:
    names = sorted({name for worker in able for name in worker.tasks})
    jobs = _count(due.count, "job", "jobs")
    if due.task in names:
        return bad(
            subject,
            f"{jobs} of {due.task} with arguments of version {due.args_version}, which no worker of queue "
            f"{due.queue} can read.",
            "Deploy the newer code there; until then they wait unharmed.",
        )
    hint = "Deploy the code that declares it to the workers of that queue."
    if known is not None and due.task not in known:
        hint = "The code here does not declare it either: was it renamed? Give the new one aliases=."
    near_ones = near(due.task, names) if len(names) <= NAMES_MAX else ""
    text = f"{jobs} of {due.task} in queue {due.queue}, and no worker of it knows that task{near_ones}."
    return bad(subject, text, hint)


def _releases(live: Sequence[WorkerFact]) -> str:
    releases = sorted({worker.release for worker in live if worker.release})
    if not releases:
        return ""
    return f", release {releases[0]}" if len(releases) == 1 else f", of mixed releases {', '.join(releases)}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _slots(number: int) -> str:
    return _count(number, "slot", "slots")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
