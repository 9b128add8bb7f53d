"""``dutiful check``: the checklist over code, this project's or one that uses another job system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..check import baseline as baselines
from ..check import formats, lockfile
from ..check.catalogue import Severity, all_rules
from ..check.engine import Wanted, examine
from ..check.findings import Finding, Outcome
from ..check.registered import modules_of, with_registered
from ..check.schema import read_schema
from ..model.errors import DutifulError
from . import checklist
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .loading import load_app
from .printing import Printer
from .reach import demand_file, reach
from .session import Session, pass_session

if TYPE_CHECKING:
    from ..engines.contract import Engine

SIGNS: dict[Severity, str] = {"E": "✗", "W": "!", "I": "·"}
WORDS: dict[Severity, str] = {"E": "error", "W": "warning", "I": "note"}
COLOURS: dict[Severity, str] = {"E": "red", "W": "yellow", "I": "cyan"}


@click.command("check", cls=SharedCommand)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--task", metavar="NAME", default="", help="Only this task: its full name, or the last part.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option(
    "--select", metavar="IDS", default="", help="Only these rules: DU004,DU01 (a prefix is enough)."
)
@click.option("--ignore", metavar="IDS", default="", help="Not these rules.")
@click.option("--schema", metavar="URL", help="A database whose unique keys the rules may read.")
@click.option("--baseline", metavar="FILE", type=click.Path(path_type=Path), help="Findings in it are known.")
@click.option(
    "--write-baseline", metavar="FILE", type=click.Path(path_type=Path), help="Keep all findings as known."
)
@click.option("--lock", is_flag=True, help="Write dutiful.lock: the tasks and arguments there are now.")
@click.option("--waive", nargs=2, metavar="TASK LINE", help="A line of the checklist needs no answer here.")
@click.option("--end-waiver", nargs=2, metavar="TASK LINE", help="It needs one again.")
@click.option("--owner", default="", metavar="NAME", help="With --waive: who answers for it.")
@click.option("--until", default="", metavar="WHEN", help="With --waive: 90d, or an instant; a year at most.")
@click.option("--because", default="", metavar="TEXT", help="With --waive: why, for the audit and the page.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "junit", "github"]),
    default="text",
    help="How findings are printed.",
)
@pass_session
def check_command(
    session: Session,
    paths: tuple[Path, ...],
    task: str,
    strict: bool,
    select: str,
    ignore: str,
    schema: str | None,
    baseline: Path | None,
    write_baseline: Path | None,
    lock: bool,
    waive: tuple[str, str] | None,
    end_waiver: tuple[str, str] | None,
    owner: str,
    until: str,
    because: str,
    style: str,
) -> int:
    """The checklist over the tasks in PATHS (default: here), of dutiful or of another job system.

    Reads Celery, RQ, Dramatiq, Huey, arq and Django tasks, too; nothing is imported, except the app if
    --app names one. A rule at length: dutiful explain DU004. With a store (--store, or that of --app) each
    task's last drill is told, and how the lines of the checklist stand. Exit 0 clean, 1 an error was found
    (with --strict also a warning), 2 usage, 3 a file could not be read.
    """
    if waive or end_waiver:
        return _waiver(session, waive, end_waiver, owner, until, because)
    if owner or until or because:
        raise click.UsageError("--owner, --until and --because go with --waive TASK LINE.")
    app = load_app(session.app) if session.app is not None else None
    roots = paths or (modules_of(app) if app is not None else (Path("."),))
    url = schema or session.store
    wanted = Wanted(
        paths=roots,
        task=task,
        select=_ids(select, "--select"),
        ignore=_ids(ignore, "--ignore"),
        schema=None if url is None else read_schema(url),
        registered=None if app is None else with_registered(app),
        lock=lockfile.PATH,
    )
    try:
        if session.store is None:
            outcome = examine(wanted)
            lines = None if app is None else _lines(session, app.engine, app.name, outcome)
        else:
            with reach(replace(session, app=None)) as store:
                outcome = examine(replace(wanted, engine=store.engine, app_name=store.name))
                lines = _lines(session, store.engine, store.name, outcome)
    except lockfile.BadLock as error:
        raise click.UsageError(str(error)) from error
    if task and not sum(outcome.tasks.values()):
        raise click.UsageError(f"There is no task {task!r} in {', '.join(map(str, roots))}.")
    if lock:
        count = lockfile.write(lockfile.PATH, outcome.found)
        session.printer.say(f"{lockfile.PATH} has {_many(count, 'task')} of dutiful now. Commit it.")
        return CANNOT_SAY if outcome.unreadable else DONE
    if write_baseline is not None:
        baselines.write(write_baseline, outcome.findings)
        session.printer.say(f"{write_baseline} has {_many(len(outcome.findings), 'finding')} now.")
        return CANNOT_SAY if outcome.unreadable else DONE
    if baseline is not None:
        try:
            outcome.findings, outcome.known = baselines.without(baseline, outcome.findings)
        except baselines.BadBaseline as error:
            raise click.UsageError(str(error)) from error
    code = BAD if outcome.fails(strict) else CANNOT_SAY if outcome.unreadable else DONE
    _put(session.printer, outcome, code, strict, "json" if session.json else style, lines)
    return code


def _lines(session: Session, engine: Engine, name: str, outcome: Outcome) -> list[checklist.Line] | None:
    """What the store knows of the tasks; None, and a word why, where it cannot be asked."""
    try:
        demand_file(engine)
        return checklist.lines_of(engine, name, outcome)
    except DutifulError as error:
        session.printer.say(f"Of drills and waivers nothing is known here: {error.code} {error.message}")
        return None


def _waiver(
    session: Session,
    waive: tuple[str, str] | None,
    end_waiver: tuple[str, str] | None,
    owner: str,
    until: str,
    because: str,
) -> int:
    if waive and end_waiver:
        raise click.UsageError("--waive and --end-waiver: give one of them.")
    if waive:
        given = {"--owner NAME": owner, "--until 90d": until, '--because "…"': because}
        if missing := [flag for flag, value in given.items() if not value.strip()]:
            raise click.UsageError(f"Who answers for {waive[1]}, until when, why? Add {', '.join(missing)}.")
    elif owner or until:
        raise click.UsageError("--owner and --until go with --waive TASK LINE.")
    with reach(session) as store:
        if waive:
            checklist.waive(session, store, waive, owner, until, because)
        elif end_waiver:
            checklist.end(session, store, end_waiver, because)
    return DONE


def _ids(text: str, option: str) -> tuple[str, ...]:
    found = tuple(one.strip().upper() for one in text.split(",") if one.strip())
    for one in found:
        if not any(rule.startswith(one) for rule in all_rules()):
            raise click.UsageError(f"{option}: there is no rule {one}. All: dutiful explain DU")
    return found


def _put(
    printer: Printer,
    outcome: Outcome,
    code: int,
    strict: bool,
    style: str,
    lines: Sequence[checklist.Line] | None,
) -> None:
    if style == "json":
        known = None if lines is None else checklist.document(lines)
        printer.document("check/1", {**formats.document(outcome, code), "checklist": known})
    elif style == "junit":
        printer.put(formats.junit(outcome, strict))
    elif style == "github":
        for line in formats.github(outcome):
            printer.put(line)
    else:
        _put_text(printer, outcome, lines or ())


def _put_text(printer: Printer, outcome: Outcome, lines: Sequence[checklist.Line]) -> None:
    for path, findings in groupby(outcome.findings, key=lambda one: one.path):
        printer.put(click.style(path, bold=True) if printer.rich else path)
        for one in findings:
            _put_finding(printer, one)
        printer.put()
    checklist.put(printer, lines)
    for path, why in outcome.unreadable.items():
        printer.say(f"Not checked: {path}: {why}")
    for rule, needs in outcome.skipped.items():
        printer.say(f"Skipped: {rule} needs {needs}.")
    printer.put(summary(outcome))


def _put_finding(printer: Printer, one: Finding) -> None:
    sign = f"{SIGNS[one.severity]} {one.rule}"
    if printer.rich:
        sign = click.style(sign, fg=COLOURS[one.severity])
    more = f" (and {one.tasks - 1} more)" if one.tasks > 1 else ""
    head = f"  {sign}  line {one.line}{f', {one.task}{more}' if one.task else ''}"
    printer.put(head)
    printer.prose(f"{one.why}.", indent="           ")
    printer.prose(one.fix, indent="      fix  ", hanging="           ")


def summary(outcome: Outcome) -> str:
    """The last line."""
    counts = [
        _many(outcome.count(severity), word) for severity, word in WORDS.items() if outcome.count(severity)
    ]
    extra = [
        f"{number} {word}"
        for number, word in ((outcome.silenced, "silenced"), (outcome.known, "known"))
        if number
    ]
    if outcome.skipped:
        extra.append(_many(len(outcome.skipped), "rule") + " skipped")
    if outcome.unreadable:
        extra.append(_many(len(outcome.unreadable), "file") + " not read")
    systems = ", ".join(f"{count} of {system}" for system, count in sorted(outcome.tasks.items()))
    looked = _many(sum(outcome.tasks.values()), "task") + (f" ({systems})" if systems else "")
    sign = "✗" if outcome.count("E") else "✓" if not outcome.findings else "!"
    return f"{sign} {looked}: {', '.join([*(counts or ['nothing found']), *extra])}."


def _many(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count:,} {word}s"
