"""``dutiful doubt``: jobs that began and that nobody knows the end of, until somebody decides."""

from __future__ import annotations

import click
import msgspec

from ..model.ids import parse_id
from ..model.jobs import RESULT_BYTES_MAX
from ..model.spans import ago
from ..operations import doubts, inspect
from ..operations.doubts import Cursor, Doubt
from ..operations.inspect import JobView
from ..operations.plan import Operation
from .doubt_page import of_doubt, show_doubt
from .exits import Refusal
from .job import JobId
from .lazy import SharedGroup
from .reach import Reach, reach
from .session import Session, pass_session
from .tables import Column

LIMIT = 50
LIMIT_MAX = 10_000

COLUMNS = [
    Column("ID"),
    Column("SINCE"),
    Column("TASK", least=20),
    Column("QUEUE", least=6, spare=2),
    Column("DOUBT", least=40),
    Column("OLD RUN"),
    Column("KEY", least=8, spare=4),
    Column("ARGS", least=12, spare=1),
]

_reason = click.option("--reason", default="", help="How you know, for the audit.")
_run = click.option(
    "--run", "run_no", type=click.IntRange(1), metavar="N", help="Only if it still is after this run."
)


@click.group("doubt", cls=SharedGroup)
def doubt_command() -> None:
    """Look at jobs that nobody knows the end of, and decide."""


@doubt_command.command("list")
@click.option("--task", metavar="NAME", help="Only jobs of this task.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--after", metavar="CURSOR", help="The page after this one, as the page before it said.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT,
    metavar="N",
    help=f"At most so many (default {LIMIT}).",
)
@pass_session
def list_(session: Session, task: str | None, queue: str | None, after: str | None, limit: int) -> None:
    """Jobs in doubt, the latest first."""
    printer = session.printer
    begin = _cursor(after) if after else None
    with reach(session) as store:
        found = store.run(doubts.page(store.name, task=task, queue=queue, after=begin, limit=limit + 1))
        page, more = found[:limit], len(found) > limit
        following = f"{page[-1].doubt_at_us}.{page[-1].id}" if more else None
        if printer.json:
            listed = [of_doubt(doubt) for doubt in page]
            printer.document("doubt.list/1", {"app": store.name, "doubts": listed, "next": following})
            return
        if page:
            printer.table(COLUMNS, [_row(doubt) for doubt in page])
        else:
            printer.say(_empty(store, narrow=bool(task or queue or after)))
    if following:
        printer.say(f"There are more; the next page: --after {following}")


@doubt_command.command("show")
@click.argument("job_id", metavar="ID", type=JobId())
@pass_session
def show(session: Session, job_id: str) -> None:
    """What is known of one, and what can be done."""
    with reach(session) as store:
        doubt, effects = store.run(doubts.show(store.name, job_id))
    show_doubt(session.printer, doubt, effects)


@doubt_command.command("confirm")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--result", metavar="JSON", help="The evidence: kept as the job's result.")
@_reason
@_run
@pass_session
def confirm(session: Session, job_id: str, result: str | None, reason: str, run_no: int | None) -> None:
    """It was done: an at_most_once body turned out to have finished."""
    evidence = _json(result, "--result")
    with reach(session) as store:
        _decide(
            session,
            store,
            "confirm",
            doubts.confirm(
                store.name, job_id, actor=session.who, reason=reason, result=evidence, run_no=run_no
            ),
        )


@doubt_command.command("resume")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--effect", metavar="NAME", help="Which, where several are in doubt.")
@click.option("--result", metavar="JSON", default="null", help="What the call gave (default null).")
@_reason
@_run
@pass_session
def resume(
    session: Session, job_id: str, effect: str | None, result: str, reason: str, run_no: int | None
) -> None:
    """The effect in doubt was applied: the job runs on, and is given its result."""
    given = _json(result, "--result")
    with reach(session) as store:
        _decide(
            session,
            store,
            "resume",
            doubts.resume(
                store.name,
                job_id,
                actor=session.who,
                reason=reason,
                result=given,
                effect=effect,
                run_no=run_no,
            ),
        )


@doubt_command.command("refute")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--effect", metavar="NAME", help="Which, where several are in doubt.")
@click.option("--new-key", is_flag=True, help="Send the effect under a new key, not under its old one.")
@click.option(
    "--accept-risk", is_flag=True, help="Also if the old run may still be at work. The audit says so."
)
@_reason
@_run
@pass_session
def refute(
    session: Session,
    job_id: str,
    effect: str | None,
    new_key: bool,
    accept_risk: bool,
    reason: str,
    run_no: int | None,
) -> None:
    """It was surely not done: the job does it now.

    Demands that the old run is dead for certain, and for 5 minutes, so that nothing it sent is still on
    its way.
    """
    with reach(session) as store:
        if store.run(inspect.job(store.name, job_id)).state == "in_doubt":
            _ask_first(session, store, job_id, accept_risk)
        _decide(
            session,
            store,
            "refute",
            doubts.refute(
                store.name,
                job_id,
                actor=session.who,
                reason=reason,
                effect=effect,
                new_key=new_key,
                accept_risk=accept_risk,
                run_no=run_no,
            ),
        )


@doubt_command.command("waive")
@click.argument("job_id", metavar="ID", type=JobId())
@click.option("--reason", default="", help="Why, for the audit; always needed.")
@_run
@pass_session
def waive(session: Session, job_id: str, reason: str, run_no: int | None) -> None:
    """Give it up for good. It can be taken back: dutiful job unwaive ID"""
    if not reason.strip():
        reason = session.ask("A reason", "--reason TEXT")
    with reach(session) as store:
        _decide(
            session,
            store,
            "waive",
            doubts.waive(store.name, job_id, actor=session.who, reason=reason, run_no=run_no),
        )


def _ask_first(session: Session, store: Reach, job_id: str, accept_risk: bool) -> None:
    """Unless it will be refused anyhow."""
    doubt, effects = store.run(doubts.show(store.name, job_id))
    runs = [doubt.last] if doubt.started_at_us is not None else []
    unproven = any(run.missing(doubt.now_us) for run in (*runs, *(effect.last for effect in effects)))
    if accept_risk or not unproven:
        risk = ", although its old run may still be at work" if unproven else ""
        session.confirm(f"Let {doubt.task} do it once more{risk}?")


def _decide(session: Session, store: Reach, verb: str, decision: Operation[JobView]) -> None:
    job = store.act(session, verb, decision)
    if job.state == "ready":
        store.engine.wake(job.queue)
    if session.json:
        fields = {"id": job.id, "state": job.state, "outcome": job.outcome, "epoch": job.epoch}
        session.printer.document(f"doubt.{verb}/1", {**fields, "actor": session.who})
        return
    outcome = f" ({job.outcome})" if job.outcome not in (None, "performed") else ""
    session.printer.put(f"{job.id} is {job.state}{outcome}.")


def _json(text: str | None, flag: str) -> bytes | None:
    if text is None:
        return None
    try:
        data = msgspec.json.format(text.encode(), indent=-1)
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise click.UsageError(f"{flag} is no JSON: {error}. Text is written so: '\"like this\"'") from None
    if len(data) > RESULT_BYTES_MAX:
        raise Refusal(f"{flag} is {len(data):,} bytes; at most {RESULT_BYTES_MAX:,} are kept.")
    return data


def _cursor(text: str) -> Cursor:
    at, _, job_id = text.partition(".")
    try:
        return int(at), parse_id(job_id)
    except ValueError:
        raise click.UsageError(f"--after {text!r} is nothing that a page before it has said.") from None


def _row(doubt: Doubt) -> list[str]:
    since = ago(doubt.doubt_at_us, doubt.now_us)
    dead = "dead" if doubt.last.dead_since_us is not None else "may live"
    args = doubt.args.decode(errors="replace")[:200]
    return [doubt.id, since, doubt.task, doubt.queue, doubt.doubt, dead, doubt.key or "", args]


def _empty(store: Reach, *, narrow: bool) -> str:
    if narrow:
        return "No (more) jobs in doubt of that kind."
    return f'No jobs in doubt in app "{store.name}".' if store.name else "No jobs in doubt."
