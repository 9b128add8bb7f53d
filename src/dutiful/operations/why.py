"""Why isn't it running? One function decides it from the facts, one operation reads the facts.

The causes are looked for in a fixed order, the hardest first, and the first that holds is the answer:
it is over, it runs already, its queue is paused, no live worker takes its queue, none knows its task or
this version of its arguments, it is not due, it waits at a gate, its queue's limit is reached, it waits to be
run alone, others come first, it is simply in line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct

from ..model.spans import ago, span
from .inspect import FailureView, JobView
from .plan import Steps, query
from .queues import QueueState
from .why_facts import AHEAD_MAX, Facts, Note, WorkerFact, read_facts
from .why_gates import behind

Cause = Literal[
    "done", "cancelled", "dead", "in_doubt", "running", "worker_silent", "worker_gone",
    "queue_paused", "queue_untaken", "task_unknown", "args_too_new", "not_due", "suspect", "outranked",
    "queued", "gate", "queue_full",
]  # fmt: skip

REASONS: Mapping[str, str] = {
    "error": "it raised an error that is never retried",
    "exhausted": "its last try failed",
    "gave_up": "its task gave up by itself",
    "poison": "it killed its worker each time that it ran alone",
    "stale": "it was too late",
    "changed": "its task does not read its arguments any more",
}
"""What a dead job died of, in words."""


class Why(Struct, frozen=True):
    """The answer: a cause for programs, a sentence and details for people."""

    cause: Cause
    sentence: str
    details: tuple[str, ...] = ()
    due_us: int | None = None


@query
def why(app: str, job_id: str) -> Steps[Why]:
    """Why this job is not running (or that it is, or is over); raises JobNotFound."""
    return decide((yield from read_facts(app, job_id)))


def decide(facts: Facts) -> Why:
    """The first cause that holds."""
    job = facts.job
    if job.state == "running":
        return _running(facts)
    if job.state != "ready":
        return _not_live(facts)
    return _waiting(facts)


def shown_state(state: str, run_at_us: int, attempt: int, now_us: int) -> str:
    """The word that people read: a ready job is scheduled, retrying or waiting."""
    if state != "ready":
        return state.replace("_", " ")
    if run_at_us > now_us:
        return "retrying" if attempt else "scheduled"
    return "waiting"


# ── over, or running ────────────────────────────────────────────────────────────────────────


def _not_live(facts: Facts) -> Why:
    job = facts.job
    since = "" if job.ended_at_us is None else f" {ago(job.ended_at_us, job.now_us)}"
    said = (f"The last run said {_said(facts.failure)}.",) if facts.failure else ()
    if job.state == "dead":
        because = REASONS.get(job.reason or "", job.reason or "")
        tries = f"after {_count(job.attempt, 'try', 'tries')}" if job.attempt else "before a try was charged"
        again = f"When its cause is mended: dutiful dead retry {job.id}"
        return Why("dead", f"dead: it died{since}, {tries}; {because}.", (*said, again))
    if job.state == "in_doubt":
        when = "" if job.doubt_at_us is None else f", {ago(job.doubt_at_us, job.now_us)}"
        sentence = f"in doubt: {job.doubt or 'it began'}{when}; whether it was done is not known."
        return Why(
            "in_doubt", sentence, (*said, f"What is known, and what to do: dutiful doubt show {job.id}")
        )
    if job.state == "cancelled":
        by = (_noted(facts.note),) if facts.note and facts.note.verb == "cancel" else ()
        return Why("cancelled", f"cancelled{since}, {_when_cancelled(job)}.", by)
    how = {"performed": "", "duplicate": " as a duplicate", "skipped": " by being skipped"}
    how["waived"] = ", given up by a person"
    outcome = how.get(job.outcome or "", f" ({job.outcome})")
    skipped = f" ({job.reason})" if job.outcome == "skipped" and job.reason else ""
    return Why("done", f"done{since}{outcome}{skipped}: there is nothing left to run.")


def _when_cancelled(job: JobView) -> str:
    return (job.reason or "while it ran") if job.reason else "before anybody began it"


def _running(facts: Facts) -> Why:
    job, holder = facts.job, facts.holder
    since = "" if job.claimed_at_us is None else f" for {span(job.now_us - job.claimed_at_us)}"
    taken_back = "It is taken back by the next look of any living worker, within seconds."
    if not any(not worker.silent for worker in facts.workers):
        taken_back = "No worker is alive to take it back. Start one: dutiful worker"
    if holder is None or holder.gone:
        whose = "a worker that is" if holder is None else f"{holder}, which is"
        return Why("worker_gone", f"running{since}, as it seems, on {whose} gone.", (taken_back,))
    told = f"it last said that it lives {span(holder.beat_age_us)} ago (lease {span(holder.lease_us)})"
    if holder.silent:
        sentence = f"running{since}, as it seems, on {holder}, which has fallen silent."
        return Why("worker_silent", sentence, (_upper(f"{told}. {taken_back}"),))
    attempt = f"attempt {job.attempt}, run {job.run_no}"
    if job.cancel_at_us is not None:
        attempt += f"; it was asked to stop {ago(job.cancel_at_us, job.now_us)}"
    return Why("running", f"running{since} on {holder}, {attempt}; {told}.")


# ── waiting ─────────────────────────────────────────────────────────────────────────────────


def _waiting(facts: Facts) -> Why:
    job = facts.job
    word = shown_state(job.state, job.run_at_us, job.attempt, job.now_us)
    if word == "waiting":
        begin = f"waiting for {span(job.now_us - job.run_at_us)}"
    else:
        begin = f"{word}, due in {span(job.run_at_us - job.now_us)}"
    due_us = job.run_at_us if job.run_at_us > job.now_us else None
    cause, sentence, details = _cause(facts)
    return Why(cause, f"{begin}: {sentence}", details, due_us)


def _cause(facts: Facts) -> tuple[Cause, str, tuple[str, ...]]:
    job = facts.job
    if facts.paused is not None:
        return _paused(facts.paused)
    live = [worker for worker in facts.workers if not (worker.silent or worker.alone or worker.gone)]
    taking = [worker for worker in live if job.queue in worker.queues]
    if not taking:
        return "queue_untaken", f'no live worker takes queue "{job.queue}".', _no_takers(facts, live)
    if not any(worker.tasks.get(job.task, 0) >= job.args_version for worker in taking):
        return _no_knower(job, taking, live)
    if job.run_at_us > job.now_us:
        failed = facts.failure is not None and job.attempt > 0
        said = (f"The last try failed with {_said(facts.failure)}.",) if failed and facts.failure else ()
        return "not_due", "it is not due yet.", said
    if facts.gate is not None:
        known = {(queue, task) for worker in live for queue in worker.queues for task in worker.tasks}
        return "gate", *behind(facts.gate, known)
    if facts.full is not None:
        places = "the only place" if facts.full == 1 else f"all {facts.full:,} places"
        sentence = f'{places} of queue "{job.queue}" {"is" if facts.full == 1 else "are"} taken.'
        return "queue_full", sentence, ("So many of its jobs run at a time, on all workers together.",)
    if job.suspect:
        sentence = "it is to be run alone, in a child process, as soon as a worker has one free."
        detail = "Its worker died or fell silent while it ran, so it might be what killed it."
        return "suspect", sentence, (detail,)
    takers = f"{_count(len(taking), 'live worker takes', 'live workers take')} the queue, with "
    takers += f"{_count(sum(worker.slots for worker in taking), 'slot', 'slots')} in all."
    if facts.higher:
        sentence = f'{_ahead(facts.higher)} of higher priority in queue "{job.queue}".'
        return "outranked", sentence, (f"{_ahead(facts.earlier)} of its own priority.", takers)
    if job.ready_seq is None:
        return "queued", "it has just become due and gets in line at the next poll of a worker.", (takers,)
    if facts.earlier:
        number = f"{facts.earlier:,} or more" if facts.earlier >= AHEAD_MAX else f"{facts.earlier + 1:,}"
        return "queued", f'it is number {number} in line in queue "{job.queue}".', (takers,)
    return "queued", f'it is next in line in queue "{job.queue}".', (takers,)


def _paused(queue: QueueState) -> tuple[Cause, str, tuple[str, ...]]:
    until = "until somebody resumes it"
    if queue.paused_until_us is not None:
        until = f"for {span(queue.paused_until_us - queue.now_us)} more"
    sentence = f'queue "{queue.name}" is paused {until}.'
    return (
        "queue_paused",
        sentence,
        (
            f"By {queue.paused_by}: {queue.pause_reason}",
            f"Go on: dutiful queue resume {queue.name}",
        ),
    )


def _no_takers(facts: Facts, live: list[WorkerFact]) -> tuple[str, ...]:
    details = []
    silent = [worker for worker in facts.workers if worker.silent and not worker.alone]
    took = [worker for worker in silent if facts.job.queue in worker.queues]
    if live:
        queues = sorted({queue for worker in live for queue in worker.queues})
        number = _count(len(live), "live worker takes", "live workers take")
        details.append(f"{number}: {_some(queues)}.")
    elif not silent:
        details.append(f'No worker of app "{facts.job.app}" is alive.')
    if took:
        last = min(took, key=lambda worker: worker.beat_age_us)
        details.append(_upper(f"{last} took it, and has been silent for {span(last.beat_age_us)}."))
    details.append(f"Start one: dutiful worker -q {facts.job.queue}")
    return tuple(details)


def _no_knower(
    job: JobView, taking: list[WorkerFact], live: list[WorkerFact]
) -> tuple[Cause, str, tuple[str, ...]]:
    known = sorted({name for worker in taking for name in worker.tasks})
    elsewhere = [w for w in live if w not in taking and w.tasks.get(job.task, 0) >= job.args_version]
    details = [f'{_count(len(taking), "worker takes", "workers take")} queue "{job.queue}" ({_who(taking)})']
    if elsewhere:
        details.append(_upper(f"{elsewhere[0]} knows it, but takes only {_some(elsewhere[0].queues)}."))
    newest = max((worker.tasks.get(job.task, 0) for worker in taking), default=0)
    if newest:
        details[0] += "."
        details.append("Deploy the newer code there; until then the job waits unharmed.")
        sentence = (
            f'its arguments are of version {job.args_version} of "{job.task}", '
            f"and the live workers know only {newest}."
        )
        return "args_too_new", sentence, tuple(details)
    details[0] += f"; they know {_some(known)}." if len(taking) > 1 else f"; it knows {_some(known)}."
    if near := get_close_matches(job.task, known, n=1):
        details.append(
            f"Likely renamed and not deployed everywhere, or an alias is missing: "
            f'@app.task(name="{job.task}", aliases=["{near[0]}"]), or the other way round.'
        )
    return "task_unknown", f'no live worker of its queue knows task "{job.task}".', tuple(details)


def _who(workers: list[WorkerFact]) -> str:
    hosts = _some(sorted({f"{worker.host} pid {worker.pid}" for worker in workers}), 3)
    releases = sorted({worker.release for worker in workers if worker.release})
    return f"{hosts}; release {', '.join(releases)}" if releases else hosts


def _said(failure: FailureView) -> str:
    line = failure.message.strip().splitlines()[0] if failure.message.strip() else ""
    cut = line if len(line) <= 200 else line[:199] + "…"
    return f"{failure.kind}: {cut}" if cut else failure.kind


def _noted(note: Note) -> str:
    return f"By {note.actor}: {note.reason}" if note.reason else f"By {note.actor}."


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) + more) or "nothing"


def _ahead(number: int) -> str:
    count = f"{AHEAD_MAX:,} or more" if number >= AHEAD_MAX else f"{number:,}"
    return f"{count} {'job goes' if number == 1 else 'jobs go'} first"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
