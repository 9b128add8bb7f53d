"""``dutiful dead``: the jobs that gave up, until a person brings them back."""

from __future__ import annotations

from itertools import islice

import click

from ..model.durations import microseconds
from ..model.ids import parse_id
from ..model.spans import ago
from ..operations import inspect
from ..operations.dead import Cursor
from ..operations.inspect import JobLine
from . import selection
from .dead_bulk import RETRY, WAIVE, Bulk, Verb, act_on_these, act_where
from .documents import of_line
from .job import JobId
from .job_page import show_job
from .lazy import SharedGroup
from .reach import Reach, reach
from .selection import SEARCHED_MAX, Filter
from .session import Session, pass_session
from .tables import Column

LIMIT = 50
LIMIT_MAX = 10_000

COLUMNS = [
    Column("ID"),
    Column("DIED"),
    Column("TASK", least=20),
    Column("QUEUE", least=6, spare=2),
    Column("REASON"),
    Column("TRIES", right=True, spare=3),
    Column("ERROR", least=40),
    Column("DIED AT", spare=5),
    Column("KEY", least=8, spare=4),
    Column("ARGS", least=12, spare=1),
]

_task = click.option("--task", metavar="NAME", help="Only jobs of this task.")
_queue = click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
_error = click.option(
    "--error", metavar="TEXT", help="Only jobs with this in the kind or message of their last error."
)
_older = click.option("--older-than", metavar="SPAN", help='Only jobs that died before that: "2h", "7d".')


@click.group("dead", cls=SharedGroup)
def dead_command() -> None:
    """Look at the jobs that gave up; bring them back, or give them up."""


@dead_command.command("list")
@_task
@_queue
@_error
@_older
@click.option("--after", metavar="CURSOR", help="The page after this one, as the page before it said.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT,
    metavar="N",
    help=f"At most so many (default {LIMIT}).",
)
@pass_session
def list_(
    session: Session,
    task: str | None,
    queue: str | None,
    error: str | None,
    older_than: str | None,
    after: str | None,
    limit: int,
) -> None:
    """Dead jobs, the latest death first."""
    printer = session.printer
    wanted = _filter(task, queue, error, older_than)
    with reach(session) as store:
        begin = _cursor(after) if after else selection.start(store, wanted)
        walk = selection.Walk(store, wanted, begin, searched_max=SEARCHED_MAX if wanted.error else None)
        page = list(islice(walk, limit))
        more = next(iter(walk), None) if len(page) == limit else None
        following = _following(walk, page, more is not None)
        if printer.json:
            jobs = [of_line(job) for job in page]
            printer.document("dead.list/1", {"app": store.name, "jobs": jobs, "next": following})
            return
        if page:
            printer.table(COLUMNS, [_row(job, printer.clock(job.ended_at_us)) for job in page])
        elif walk.complete:
            printer.say(_empty(store, wanted, more_before=after is not None))
    if following and more is not None:
        printer.say(f"There are more; the next page: --after {following}")
    elif following:
        printer.say(f"Looked through {SEARCHED_MAX:,} dead jobs, and there are more: --after {following}")


@dead_command.command("show")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--tracebacks", is_flag=True, help="Of all runs, not only of the last.")
@pass_session
def show(session: Session, job_id: str, tracebacks: bool) -> None:
    """Everything about one dead job."""
    with reach(session) as store:
        job = show_job(session.printer, store, job_id, all_tracebacks=tracebacks)
    if job.state != "dead":
        session.printer.say(f"It is not dead (any more): it is {job.state}.")
    elif not session.json:
        session.printer.say(f"When its cause is mended: dutiful dead retry {job_id}")
        session.printer.say(f"When it is not to be done any more: dutiful dead waive {job_id} --reason TEXT")


@dead_command.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@_task
@_queue
@_error
@_older
@click.option("--all", "everything", is_flag=True, help="All dead jobs of the app.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many, the latest death first.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--reason", default="", help="Why, for the audit; needed for more than 100 jobs.")
@pass_session
def retry(
    session: Session,
    ids: tuple[str, ...],
    task: str | None,
    queue: str | None,
    error: str | None,
    older_than: str | None,
    everything: bool,
    limit: int | None,
    dry_run: bool,
    reason: str,
) -> int:
    """Bring dead jobs back: those named, or all that a filter finds now.

    The same jobs, with their keys, their tries counted anew; one transaction each, so that what is
    done stays done. Those whose duty another job holds are refused and listed (exit 6). Ctrl-C stops
    after the job at hand.
    """
    bulk = (RETRY, reason, dry_run, limit)
    return _bulk(session, *bulk, ids, _filter(task, queue, error, older_than), everything)


@dead_command.command("waive")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@_task
@_queue
@_error
@_older
@click.option("--all", "everything", is_flag=True, help="All dead jobs of the app.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many, the latest death first.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--reason", default="", help="Why, for the audit; always needed.")
@pass_session
def waive(
    session: Session,
    ids: tuple[str, ...],
    task: str | None,
    queue: str | None,
    error: str | None,
    older_than: str | None,
    everything: bool,
    limit: int | None,
    dry_run: bool,
    reason: str,
) -> int:
    """Give dead jobs up for good: those named, or all that a filter finds now.

    They are done (waived), and what they died of stays to be read. A waiver can be taken back, while the
    history keeps the job: dutiful job unwaive ID
    """
    bulk = (WAIVE, reason, dry_run, limit)
    return _bulk(session, *bulk, ids, _filter(task, queue, error, older_than), everything)


def _bulk(
    session: Session,
    verb: Verb,
    reason: str,
    dry_run: bool,
    limit: int | None,
    ids: tuple[str, ...],
    wanted: Filter,
    everything: bool,
) -> int:
    if ids and (wanted.narrow or everything):
        raise click.UsageError("Give ids, or a filter, not both.")
    if not ids and not wanted.narrow and not everything:
        raise click.UsageError(
            "Which? Give ids, a filter (--task, --queue, --error, --older-than), or --all."
        )
    with reach(session) as store:
        bulk = Bulk(verb, session, store, reason=reason, dry_run=dry_run, limit=limit)
        return act_on_these(bulk, ids) if ids else act_where(bulk, wanted)


def _filter(task: str | None, queue: str | None, error: str | None, older_than: str | None) -> Filter:
    older_us = 0 if older_than is None else microseconds(older_than, what="--older-than")
    return Filter(task, queue, error, older_us)


def _cursor(text: str) -> Cursor:
    at, _, job_id = text.partition(".")
    try:
        return int(at), parse_id(job_id)
    except ValueError:
        raise click.UsageError(f"--after {text!r} is nothing that a page before it has said.") from None


def _following(walk: selection.Walk, page: list[JobLine], more: bool) -> str | None:
    """Where the next page begins: behind this one, or, if that was all that was found, behind the search."""
    if more:
        return f"{page[-1].ended_at_us}.{page[-1].id}"
    return None if walk.complete else f"{walk.last[0]}.{walk.last[1]}"


def _row(job: JobLine, died_at: str) -> list[str]:
    error = f"{job.kind}: {job.message}" if job.message else (job.kind or "")
    died = "" if job.ended_at_us is None else ago(job.ended_at_us, job.now_us)
    reason, tries = job.outcome or "", str(job.attempt)
    return [job.id, died, job.task, job.queue, reason, tries, error, died_at, job.key or "", job.args]


def _empty(store: Reach, wanted: Filter, *, more_before: bool) -> str:
    """No list, but an answer: what was looked through, and whether there is something beside it."""
    if more_before:
        return "No more dead jobs."
    if not wanted.narrow:
        done = store.run(inspect.jobs(store.name, state="done", limit=1))
        last = f" The last job done: {ago(done[0].ended_at_us or 0, done[0].now_us)}." if done else ""
        return f'No dead jobs in any queue of app "{store.name}".{last}' if store.name else "No dead jobs."
    dead = store.run(inspect.dead(store.name, limit=1))
    beside = "There are others: dutiful dead list" if dead else "There are no others either."
    return f"No dead jobs{wanted}. {beside}"
