"""``dutiful job``: look at jobs, ask why one is not running, cancel, retry or unwaive it."""

from __future__ import annotations

import click

from ..model.ids import parse_id
from ..model.keys import near
from ..model.spans import ago, span
from ..model.states import STATES
from ..operations import doubts, inspect, people
from ..operations.dead_sets import Choice
from ..operations.inspect import JobLine
from ..operations.why import shown_state, why
from .documents import of_line
from .job_page import show_job
from .lazy import SharedGroup
from .reach import Reach, reach
from .retrying import choice_option, retry_one
from .session import Session, pass_session
from .tables import Column
from .times import iso

LIMIT = 50
LIMIT_MAX = 10_000

COLUMNS = [
    Column("ID"),
    Column("STATE"),
    Column("TASK", least=20),
    Column("QUEUE", least=6, spare=2),
    Column("TRIES", right=True, spare=3),
    Column("WHEN"),
    Column("ENQUEUED", spare=5),
    Column("KEY", least=8, spare=4),
    Column("ARGS", least=12, spare=1),
]


class JobId(click.ParamType[str]):
    """A job's id in any way that a UUID is written."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_id(value)
        except ValueError as error:
            self.fail(f"{error}. They are listed by: dutiful job list", param, ctx)


@click.group("job", cls=SharedGroup)
def job_command() -> None:
    """Look at jobs, ask why one is not running, cancel, retry or unwaive it."""


@job_command.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--task", metavar="NAME", help="Only jobs of this task.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--after", metavar="ID", type=JobId(), help="The page after this job: older ones.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT,
    metavar="N",
    help=f"At most so many (default {LIMIT}).",
)
@pass_session
def list_(
    session: Session, state: str | None, task: str | None, queue: str | None, after: str | None, limit: int
) -> None:
    """Jobs, the newest first."""
    printer = session.printer
    with reach(session) as store:
        found = store.run(
            inspect.jobs(store.name, state=state, task=task, queue=queue, after=after, limit=limit + 1)
        )
        page, more = found[:limit], len(found) > limit
        if printer.json:
            following = page[-1].id if more else None
            printer.document(
                "job.list/1", {"app": store.name, "jobs": [of_line(line) for line in page], "next": following}
            )
            return
        if not page:
            scope = _scope(state, task, queue)
            printer.say(f"No jobs{scope}{_of_app(store)}{' after that one' if after else ''}.")
            printer.say(_elsewhere(store, task, queue) or "Enqueue one: dutiful enqueue TASK KEY=VALUE …")
            return
        printer.table(COLUMNS, [_row(line, printer.clock(line.enqueued_at_us)) for line in page])
        if more:
            printer.say(f"There are more; the next page: --after {page[-1].id}")


@job_command.command("show")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--tracebacks", is_flag=True, help="Of all runs, not only of the last.")
@pass_session
def show(session: Session, job_id: str, tracebacks: bool) -> None:
    """Everything about one job; kept after it is done."""
    with reach(session) as store:
        show_job(session.printer, store, job_id, all_tracebacks=tracebacks)


@job_command.command("why")
@click.argument("job_id", metavar="ID", type=JobId())
@pass_session
def why_(session: Session, job_id: str) -> None:
    """Why isn't it running? One answer, the hardest cause first."""
    printer = session.printer
    with reach(session) as store:
        answer = store.run(why(store.name, job_id))
        if printer.json:
            fields = {"cause": answer.cause, "sentence": answer.sentence, "details": answer.details}
            printer.document("job.why/1", {"id": job_id, **fields, "due_at": iso(answer.due_us)})
            return
        printer.put(answer.sentence)
        if answer.due_us is not None:
            printer.put(f"  Due at {printer.clock(answer.due_us)}.")
        for detail in answer.details:
            printer.prose(printer.complete(detail), indent="  ")


@job_command.command("cancel")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def cancel(session: Session, job_id: str, reason: str) -> None:
    """Cancel a job; one that runs is asked to stop, and killed after a grace where that is possible."""
    with reach(session) as store:
        verb = people.call_off(store.name, job_id, actor=session.who, reason=reason)
        job = store.act(session, "cancel", verb)
        if job.state == "running" and not session.json:
            session.printer.put(f"{job.id} is running, and is asked to stop: dutiful job show {job.id}")
        else:
            _changed(session, "cancel", job.id, job.state)


@job_command.command("retry")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--reason", default="", help="Why, for the audit.")
@choice_option
@pass_session
def retry(session: Session, job_id: str, reason: str, choice: Choice) -> None:
    """Bring a dead, cancelled or skipped job back: the same job, its tries counted anew."""
    with reach(session) as store:
        job = retry_one(session, store, job_id, reason=reason, choice=choice)
        _changed(session, "retry", job.id, job.state)


@job_command.command("unwaive")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--reason", default="", help="Why, for the audit.")
@pass_session
def unwaive(session: Session, job_id: str, reason: str) -> None:
    """Take a waiver back: the job is dead, or in doubt, as it was before."""
    with reach(session) as store:
        verb = doubts.unwaive(store.name, job_id, actor=session.who, reason=reason)
        job = store.act(session, "undo", verb)
        _changed(session, "unwaive", job.id, job.state)


def _changed(session: Session, verb: str, job_id: str, state: str) -> None:
    if session.json:
        session.printer.document(f"job.{verb}/1", {"id": job_id, "state": state, "actor": session.who})
    else:
        session.printer.put(f"{job_id} is {state.replace('_', ' ')}.")


def _row(line: JobLine, enqueued: str) -> list[str]:
    word = shown_state(line.state, line.run_at_us, line.attempt, line.now_us)
    state = f"{word} ({line.outcome})" if line.outcome not in (None, "performed") else word
    return [
        line.id,
        state,
        line.task,
        line.queue,
        str(line.attempt) if line.attempt else "",
        _when(word, line),
        enqueued,
        line.key or "",
        line.args,
    ]


def _when(word: str, line: JobLine) -> str:
    """The one instant that counts in its state."""
    if word == "running":
        return f"for {span(line.now_us - (line.claimed_at_us or line.now_us))}"
    if word == "in doubt":
        return f"began {ago(line.claimed_at_us or line.run_at_us, line.now_us)}"
    if line.ended_at_us is not None:
        return ago(line.ended_at_us, line.now_us)
    if word == "waiting":
        return f"due {ago(line.run_at_us, line.now_us)}"
    return ago(line.run_at_us, line.now_us)


def _scope(state: str | None, task: str | None, queue: str | None) -> str:
    parts = [state and f" in state {state}", task and f" of task {task}", queue and f" in queue {queue}"]
    return "".join(part for part in parts if part)


def _of_app(store: Reach) -> str:
    return f' of app "{store.name}"' if store.name else ": no app has stored any in this database"


def _elsewhere(store: Reach, task: str | None, queue: str | None) -> str:
    """If a filter names what is not there: what it may have meant."""
    if task is not None and store.app is not None and task not in store.app.known():
        return f"The app declares no task {task!r}{near(task, store.app.known())}."
    if queue is not None:
        queues = [one.name for one in store.run(inspect.queues(store.name))]
        if queue not in queues:
            return f"There is no queue {queue!r}{near(queue, queues)}."
    return ""
