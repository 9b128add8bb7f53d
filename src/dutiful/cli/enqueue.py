"""``dutiful enqueue``: one job, or one for each line of a file; checked like a call in the program."""

from __future__ import annotations

from datetime import datetime
from typing import IO

import click

from ..app.app import App
from ..app.handle import Handle
from ..model.errors import KeyReused
from ..model.jobs import OnDuplicate
from ..model.spans import ago
from . import arguments
from .enqueue_rows import enqueue_rows
from .lazy import SharedCommand
from .reach import Reach, with_app
from .session import Session, pass_session
from .times import parse_instant

KNOWN = (
    "Accept the first arguments with --on-duplicate keep, rewrite a job that is still ready with\n"
    "--on-duplicate replace, or give this one another key with --once KEY."
)


@click.command("enqueue", cls=SharedCommand)
@click.argument("task")
@click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--args", "args_json", metavar="JSON", help="The arguments as JSON: '{\"order_id\": 42}' or '[42]'."
)
@click.option(
    "--from",
    "source",
    type=click.File("rb"),
    metavar="FILE",
    help="A job for each line of a file of such JSON; - is stdin.",
)
@click.option(
    "--skip", type=click.IntRange(min=0), default=0, metavar="N", help="Of --from, not the first N rows."
)
@click.option("--once", metavar="KEY", help="The duty's key itself, instead of the task's template.")
@click.option("--queue", metavar="NAME", help="Another queue than the task's.")
@click.option("--priority", type=int, metavar="N", help="From -100 to 100, higher is sooner.")
@click.option("--run-in", metavar="SPAN", help='Due after that: "90s", "5m", "1h30m".')
@click.option("--run-at", metavar="INSTANT", help='Due then, ISO 8601: "2026-11-24T08:00:00+01:00".')
@click.option("--again", metavar="REASON", help="Do a duty once more that is done already; audited.")
@click.option("--id", "job_id", metavar="ID", help="The job's id, so that this call may be repeated.")
@click.option("--reason", default="", help="Why, for the audit.")
@click.option(
    "--on-duplicate",
    type=click.Choice(["raise", "keep", "replace"]),
    default="raise",
    help="If the duty is known with other arguments (default: raise).",
)
@pass_session
def enqueue_command(
    session: Session,
    task: str,
    pairs: tuple[str, ...],
    args_json: str | None,
    source: IO[bytes] | None,
    skip: int,
    once: str | None,
    queue: str | None,
    priority: int | None,
    run_in: str | None,
    run_at: str | None,
    again: str | None,
    job_id: str | None,
    reason: str,
    on_duplicate: OnDuplicate,
) -> None:
    """Store one job of TASK; prints its id.

    A VALUE is read as the task's annotation says: JSON where that fits, else text. --from stores one for each
    line of a file, 5,000 in a transaction.
    """
    if sum((bool(pairs), args_json is not None, source is not None)) > 1:
        raise click.UsageError("KEY=VALUE, --args and --from say the same thing: give one of them.")
    if skip and source is None:
        raise click.UsageError("--skip is for the rows of --from FILE.")
    if source is not None and (once, job_id) != (None, None):
        raise click.UsageError("--once and --id name one job; the rows of --from have the task's template.")
    with with_app(session) as app:
        found = app.find_task(task)
        using = found.using(
            once=once,
            queue=queue,
            priority=priority,
            run_in=run_in,
            run_at=None if run_at is None else _instant(session, run_at),
            again=again,
            id=job_id,
            on_duplicate=on_duplicate,
            actor=session.who,
        )
        if source is not None:
            enqueue_rows(session, app, using, source, skip=skip, reason=reason)
            return
        args, kwargs = (
            arguments.from_pairs(found, pairs) if args_json is None else arguments.from_json(found, args_json)
        )
        ops = Reach(app.engine, app.name, app).ops(session)
        try:
            done = ops.enqueue(using, args, kwargs, reason=reason).value
        except KeyReused as error:
            error.hint = KNOWN
            raise
        assert done is not None  # without an action id it is never a replay
        _tell(session, app, Handle(app, done.id, duplicate=done.duplicate))


def _tell(session: Session, app: App, handle: Handle[object]) -> None:
    printer, job = session.printer, handle.job()
    if printer.json:
        fields = {"id": job.id, "duplicate": handle.duplicate, "app": app.name, "task": job.task}
        printer.document("enqueue/1", {**fields, "queue": job.queue, "state": job.state, "key": job.key})
        return
    printer.put(job.id)
    if handle.duplicate:
        since = ago(job.ended_at_us or job.enqueued_at_us, job.now_us)
        word = "enqueued" if job.ended_at_us is None else job.state
        key = f" (duty {job.key!r})" if job.key else ""
        printer.say(f"Nothing new: this is that job already{key}, {word} {since}.")
        return
    due = "" if job.run_at_us <= job.now_us else f", due {ago(job.run_at_us, job.now_us)}"
    printer.say(f"{job.task} is in queue {job.queue}{due}. What becomes of it: dutiful job show {job.id}")


def _instant(session: Session, text: str) -> datetime:
    try:
        return parse_instant(text, utc=session.utc)
    except ValueError:
        raise click.UsageError(
            f"--run-at {text!r} is no instant; write it as 2026-11-24T08:00:00+01:00 (or --run-in 5m)."
        ) from None
