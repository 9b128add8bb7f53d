"""Jobs in doubt: look at them, and decide, as a person (or a lookup that acts for one) who found out.

Each verb compares the run that was looked at, and leaves an audit row in the same transaction. Where the
old run might still be alive a second one is not made without proof, or without taking the risk by name.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..model.doubts import LastRun
from ..model.effects import QUIET_US
from ..model.errors import DoubtRefused, DutyTaken, NotProven, WrongState
from ..model.jobs import REMEMBER_US
from ..model.keys import effect_key
from ..model.states import VERBS
from .audit import note
from .inspect import JobView, find
from .plan import Call, Row, Steps, operation, query

Cursor = tuple[int, str]
"""(doubt_at in microseconds, id) of the last job seen."""


class OpenEffect(Struct, frozen=True):
    """An effect of which nobody knows whether it was applied; ``last`` is the run that called it last."""

    name: str
    key: str
    tries: int
    asked_at_us: int
    sent_at_us: int
    last: LastRun


class Doubt(Struct, frozen=True):
    """A job in doubt. ``started_at_us`` is of an at_most_once body; else an effect is in doubt."""

    id: str
    task: str
    queue: str
    key: str | None
    delivery: str
    epoch: int
    run_no: int
    attempt: int
    claimed_at_us: int | None
    started_at_us: int | None
    doubt_at_us: int
    doubt: str
    args: bytes
    last: LastRun
    file: str | None
    now_us: int

    @property
    def duty(self) -> str:
        """What names the duty: the business key, or where none is declared the job's id."""
        return self.key if self.key is not None else self.id


# ── looking ─────────────────────────────────────────────────────────────────────────────────


@query
def page(
    app: str,
    *,
    task: str | None = None,
    queue: str | None = None,
    after: Cursor | None = None,
    limit: int = 50,
) -> Steps[list[Doubt]]:
    """Jobs in doubt, the latest first; ``after`` is the last one of the page before."""
    at, last = after if after is not None else (None, None)
    params = {"app": app, "task": task, "queue": queue, "after": at, "after_id": last, "limit": limit}
    return [_doubt(row) for row in (yield Call("list_doubts", params, alone=True))]


@query
def show(app: str, job_id: str) -> Steps[tuple[Doubt, list[OpenEffect]]]:
    """One job in doubt, and the effects of its duty that have no known outcome.

    Raises JobNotFound, or WrongState where it is not in doubt (any more).
    """
    doubt = yield from _find(app, job_id, "show", None)
    return doubt, (yield from _effects(app, doubt))


@query
def unproven() -> Steps[list[tuple[int, str, str]]]:
    """Workers that only fell silent and that left doubts: (id, host, file)."""
    return [(row[0], row[1], row[2]) for row in (yield Call("unproven_workers", {}, alone=True))]


# ── deciding ────────────────────────────────────────────────────────────────────────────────


@operation
def confirm(
    app: str,
    job_id: str,
    *,
    actor: str,
    reason: str = "",
    result: bytes | None = None,
    run_no: int | None = None,
) -> Steps[JobView]:
    """It was done: an at_most_once body was found to have finished. ``result`` is the evidence, JSON.

    ``run_no`` is the run that was looked at. Raises JobNotFound, WrongState, or DoubtRefused where not
    the body is in doubt, but an effect.
    """
    doubt = yield from _find(app, job_id, "confirm", run_no)
    if doubt.started_at_us is None:
        raise DoubtRefused(
            f"Cannot confirm job {doubt.id}: it is {doubt.delivery}, and {doubt.doubt}.",
            hint=f"Say what became of the effect: dutiful doubt resume {doubt.id}, or refute",
        )
    yield from _seen("confirm", doubt.id, Call("close_doubt", _closing(doubt, "performed", result)))
    yield note("confirm", app, actor, doubt.id, f"in_doubt, run {doubt.run_no}", "done(performed)", reason)
    return (yield from find(app, doubt.id))


@operation
def resume(
    app: str,
    job_id: str,
    *,
    actor: str,
    reason: str = "",
    result: bytes | None = b"null",
    effect: str | None = None,
    run_no: int | None = None,
) -> Steps[JobView]:
    """The effect in doubt was applied: ``result`` is recorded as what it gave, and the job is ready.

    The body runs again, and is given that result instead of a call. ``effect`` names it, where several are
    open. Raises JobNotFound, WrongState, or DoubtRefused for at_most_once bodies (which never run again)
    and where no such effect is open.
    """
    doubt = yield from _find(app, job_id, "resume", run_no)
    if doubt.started_at_us is not None:
        raise DoubtRefused(
            f"Cannot resume job {doubt.id}: an at_most_once body that has begun is never run on.",
            hint=f"Decide of the whole: dutiful doubt confirm {doubt.id}, refute, or waive",
        )
    one = _chosen(doubt, (yield from _effects(app, doubt)), effect, "resume")
    yield from _settle(app, doubt, one, "done", actor, result=result)
    yield from _reopen(app, doubt, "resume", doubt.epoch)
    yield note(
        "resume", app, actor, doubt.id, f"in_doubt, run {doubt.run_no}", f"ready; {one.name} done", reason
    )
    return (yield from find(app, doubt.id))


@operation
def refute(
    app: str,
    job_id: str,
    *,
    actor: str,
    reason: str = "",
    effect: str | None = None,
    new_key: bool = False,
    accept_risk: bool = False,
    quiet_us: int = QUIET_US,
    run_no: int | None = None,
) -> Steps[JobView]:
    """It was surely not done: the job is ready, and does it now.

    An at_most_once body begins once more, in a new epoch of its duty. An effect is sent again under its
    key, so that the other side still refuses a double if this finding is wrong; with ``new_key`` under
    another. Demands that the old run (or the effect's last caller) is proven dead, and for ``quiet_us``:
    else raises NotProven, which says what is missing; ``accept_risk`` does it all the same, and the audit
    says so. Raises JobNotFound, WrongState, DoubtRefused, DutyTaken.
    """
    doubt = yield from _find(app, job_id, "refute", run_no)
    effects = yield from _effects(app, doubt)
    if doubt.started_at_us is not None:
        found = [one for one in effects if effect in (None, one.name)]
        runs = [doubt.last, *(one.last for one in found)]
    else:
        found = [_chosen(doubt, effects, effect, "refute")]
        runs = [found[0].last]
    if new_key and not found:
        raise DoubtRefused(f"Job {doubt.id} has no effect in doubt whose key could be another.")
    missing = [text for text in dict.fromkeys(run.missing(doubt.now_us, quiet_us) for run in runs) if text]
    if missing and not accept_risk:
        raise NotProven(doubt.id, missing)
    after = "ready"
    if doubt.started_at_us is not None:
        after += f", epoch {doubt.epoch + 1}"
    for one in found:
        key = effect_key(doubt.task, doubt.duty, f"{one.name}\n{one.tries}") if new_key else None
        yield from _settle(app, doubt, one, "refused", actor, new_key=key)
        after += f"; {one.name} refused" + (f", new key {key}" if key else "")
    if missing:
        after += f"; risk accepted: {', '.join(missing)}"
    epoch = doubt.epoch if doubt.started_at_us is None else doubt.epoch + 1
    yield from _reopen(app, doubt, "refute", epoch)
    yield note("refute", app, actor, doubt.id, f"in_doubt, run {doubt.run_no}", after, reason)
    return (yield from find(app, doubt.id))


@operation
def waive(app: str, job_id: str, *, actor: str, reason: str, run_no: int | None = None) -> Steps[JobView]:
    """Give up a dead job, or one in doubt, for good: it is done(waived), and what it was stays to be read.

    The reason is obligatory. Raises JobNotFound, WrongState, DoubtRefused.
    """
    job = yield from _job(app, job_id, "waive", run_no)
    if not reason.strip():
        raise DoubtRefused(f"Job {job.id} is not waived without a reason.", hint="Say why: --reason TEXT")
    if job.state == "dead":
        closing = Call("waive_dead", {"id": job.id, "run_no": job.run_no})
    else:
        params = {"id": job.id, "run_no": job.run_no, "outcome": "waived", "result": None}
        closing = Call("close_doubt", params)
    yield from _seen("waive", job.id, closing)
    before = f"dead({job.reason})" if job.state == "dead" else f"in_doubt, run {job.run_no}"
    yield note("waive", app, actor, job.id, before, "done(waived)", reason)
    return (yield from find(app, job.id))


@operation
def unwaive(app: str, job_id: str, *, actor: str, reason: str = "") -> Steps[JobView]:
    """Take a waiver back: the job is again what it was waived from.

    Raises JobNotFound, WrongState, or DutyTaken where another job holds the duty now.
    """
    job = yield from _job(app, job_id, "unwaive", None)
    name = "unwaive_dead" if job.doubt is None else "unwaive_doubt"
    yield from _seen("unwaive", job.id, Call(name, {"id": job.id, "ended_at": job.ended_at_us}))
    yield from _regain(app, "unwaive", job.id, job.task, job.key, job.epoch)
    after = "dead" if job.doubt is None else "in_doubt"
    yield note("unwaive", app, actor, job.id, "done(waived)", after, reason)
    return (yield from find(app, job.id))


@operation
def prove(worker: int) -> Steps[bool]:
    """Of a worker that fell silent it is known now that it is dead: the kernel freed its lock."""
    return bool((yield Call("prove_dead", {"id": worker}, alone=True)))


# ── the parts ───────────────────────────────────────────────────────────────────────────────


def _job(app: str, job_id: str, verb: str, run_no: int | None) -> Steps[JobView]:
    """The job, in a state that allows the verb, and (if it is said) after the run that was looked at."""
    job = yield from find(app, job_id)
    allowed = VERBS[verb]
    if not allowed.allows(job.state, job.outcome):
        shown = f"{job.state}({job.outcome})" if job.outcome else job.state
        raise WrongState(verb, job.id, shown, " or ".join(allowed.sources))
    if run_no is not None and run_no != job.run_no:
        raise WrongState(verb, job.id, f"{job.state} after run {job.run_no}", f"as after run {run_no}")
    return job


def _find(app: str, job_id: str, verb: str, run_no: int | None) -> Steps[Doubt]:
    job = yield from _job(app, job_id, verb if verb != "show" else "confirm", run_no)
    rows = yield Call("find_doubt", {"app": app, "id": job.id})
    if not rows:
        raise WrongState(verb, job.id, "not as it was seen a moment ago", "in_doubt")
    return _doubt(rows[0])


def _effects(app: str, doubt: Doubt) -> Steps[list[OpenEffect]]:
    found = []
    for row in (yield Call("open_effects", {"app": app, "task": doubt.task, "duty": doubt.duty})):
        name, key, tries, run_no, alive, asked_at, sent_at, kind, ended_at, worker, host, how, gone_at = row
        last = LastRun(run_no, kind, ended_at, worker, host, how, gone_at, calls_alive=alive)
        found.append(OpenEffect(name, key, tries, asked_at, sent_at, last))
    return found


def _chosen(doubt: Doubt, effects: Sequence[OpenEffect], name: str | None, verb: str) -> OpenEffect:
    fitting = [one for one in effects if name in (None, one.name)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(one.name for one in effects)
    if not effects:
        problem = "none of its effects is open (any more)"
    elif not fitting:
        problem = f"it has no open effect {name!r}; open: {known}"
    else:
        problem = f"several effects are open, so that one has to be named: {known}"
    raise DoubtRefused(f"Cannot {verb} job {doubt.id}: {problem}.")


def _settle(
    app: str,
    doubt: Doubt,
    one: OpenEffect,
    state: str,
    actor: str,
    *,
    result: bytes | None = None,
    new_key: str | None = None,
) -> Steps[None]:
    params: dict[str, object] = {"app": app, "task": doubt.task, "duty": doubt.duty, "name": one.name}
    params |= {
        "tries": one.tries,
        "state": state,
        "by": f"person {actor}",
        "result": result,
        "new_key": new_key,
    }
    if not (yield Call("settle_effect_by_hand", params)):
        raise WrongState(
            "settle the effect of", doubt.id, "not as it was seen a moment ago", "as it was seen"
        )


def _reopen(app: str, doubt: Doubt, verb: str, epoch: int) -> Steps[None]:
    params = {"id": doubt.id, "run_no": doubt.run_no, "epoch": epoch}
    yield from _seen(verb, doubt.id, Call("reopen_doubt", params))
    yield from _regain(app, verb, doubt.id, doubt.task, doubt.key, epoch)


def _regain(app: str, verb: str, job_id: str, task: str, key: str | None, epoch: int) -> Steps[None]:
    """The duty's row says that its job came back to life, and in which epoch."""
    if key is None:
        return
    duty: dict[str, object] = {"app": app, "task": task, "key": key}
    held = duty | {"id": job_id, "remember": REMEMBER_US, "epoch": epoch, "args_hash": ""}
    if not (yield Call("regain_duty", held)):
        holders = yield Call("holder_of_duty", duty)
        raise DutyTaken(verb, job_id, holders[0][0] if holders else "another job")


def _seen(verb: str, job_id: str, call: Call) -> Steps[None]:
    """Compare and set: what was seen is still so, or nothing is done."""
    if not (yield call):
        raise WrongState(verb, job_id, "not as it was seen a moment ago", "as it was seen")


def _closing(doubt: Doubt, outcome: str, result: bytes | None) -> dict[str, object]:
    return {"id": doubt.id, "run_no": doubt.run_no, "outcome": outcome, "result": result}


def _doubt(row: Row) -> Doubt:
    kind, failed_at, worker, host, file, how, gone_at, now = row[13:]
    last = LastRun(row[6], kind, failed_at, worker, host, how, gone_at)
    fields = (*row[:12], bytes(row[12]), last, file, now)
    return Doubt(*fields)
