"""``dutiful dead``: the jobs that gave up, until a person brings them back."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from ..model.ids import parse_id
from ..model.spans import ago
from ..operations import inspect
from ..operations.bulk_values import Wanted
from ..operations.dead import Cursor
from ..operations.dead_sets import Choice
from ..operations.inspect import JobLine
from . import selection
from .dead_bulk import Work, act_on_these, act_where
from .documents import of_line
from .job import JobId
from .job_page import show_job
from .lazy import SharedGroup
from .reach import Reach, reach
from .retrying import choice_option
from .selection import SEARCHED_MAX, Pace, filters, instant_us, wanted_of, which, whole
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


@click.group("dead", cls=SharedGroup)
def dead_command() -> None:
    """Look at the jobs that gave up; bring them back, or give them up."""


@dead_command.command("list")
@filters
@click.option("--after", metavar="CURSOR", help="The page after this one, as the page before it said.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT,
    metavar="N",
    help=f"At most so many (default {LIMIT}).",
)
@pass_session
def list_(session: Session, /, after: str | None, limit: int, **which: Any) -> None:
    """Dead jobs, the latest death first."""
    printer = session.printer
    wanted = wanted_of(which)
    with reach(session) as store:
        wanted = whole(store, session, wanted)
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
        session.printer.say(
            f"When it is not to be done any more: dutiful dead discard {job_id} --reason TEXT"
        )


@dead_command.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@which
@click.option("--pace", metavar="N/s", type=Pace(), help="At most so many a second: 200/s.")
@click.option("--start", metavar="WHEN", help="Not before: an instant, or after so long (2h).")
@click.option("--try-one", is_flag=True, help="First one alone; the others only if it is done.")
@choice_option
@pass_session
def retry(
    session: Session,
    /,
    ids: tuple[str, ...],
    pace: int | None,
    start: str | None,
    try_one: bool,
    choice: Choice,
    **which: Any,
) -> int:
    """Bring dead jobs back: those named, or all that a filter finds now.

    The same jobs, with their keys, their tries counted anew. Those that are done already are ended as
    duplicates; those whose key another job holds, or of which nobody can know whether a retry is harmless,
    are left and listed (exit 6). Ctrl-C detaches: workers go on with it (dutiful bulk).
    """
    return _bulk(session, "retry", ids, which, start, choice=choice, pace=pace, try_one=try_one)


@dead_command.command("waive")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@which
@pass_session
def waive(session: Session, /, ids: tuple[str, ...], **which: Any) -> int:
    """Give dead jobs up for good: those named, or all that a filter finds now.

    They are done (waived), and what they died of stays to be read. A waiver can be taken back, while the
    history keeps the job: dutiful dead undo ID
    """
    return _bulk(session, "waive", ids, which)


@dead_command.command("discard")
@click.argument("ids", metavar="[ID]...", nargs=-1, type=JobId())
@which
@pass_session
def discard(session: Session, /, ids: tuple[str, ...], **which: Any) -> int:
    """Give dead jobs up for good, as waive does: those named, or all that a filter finds now.

    It can be taken back: dutiful dead undo ID, or dutiful dead undo --bulk ID
    """
    return _bulk(session, "discard", ids, which)


def _bulk(
    session: Session,
    verb: str,
    ids: tuple[str, ...],
    which: dict[str, Any],
    start: str | None = None,
    **more: Any,
) -> int:
    wanted = wanted_of(which)
    if ids and (wanted.narrow or which["everything"]):
        raise click.UsageError("Give ids, or a filter, not both.")
    if not ids and not wanted.narrow and not which["everything"]:
        raise click.UsageError(
            "Which? Give ids, a filter (--task, --queue, --error, --fp, --unseen, --older-than), or --all."
        )
    how = {"reason": which["reason"], "dry_run": which["dry_run"], "limit": which["limit"]}
    with reach(session) as store:
        at = None if start is None else instant_us(start, store, session)
        work = Work(verb, session, store, start_at_us=at, **how, **more)
        return act_on_these(work, ids) if ids else act_where(work, whole(store, session, wanted))


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


def _empty(store: Reach, wanted: Wanted, *, more_before: bool) -> str:
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
