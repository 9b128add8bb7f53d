"""``dutiful drill``: a task is run twice, cut off anywhere, overtaken, run late, on scratch copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..app.task import Task
from ..model.errors import AppNotFound, DutifulError
from ..model.keys import near
from .exits import BAD, CANNOT_SAY, DONE
from .lazy import SharedCommand
from .loading import load_module
from .reach import reach
from .session import Session, pass_session

SCENARIOS = [f"X{number}" for number in range(1, 12)]
CODES = {"clean": DONE, "findings": BAD, "not comparable": CANNOT_SAY}


@click.command("drill", cls=SharedCommand)
@click.argument("task", metavar="[MODULE:TASK]", required=False)
@click.option(
    "--args", "args_json", default="[]", metavar="JSON", help="Its arguments: '{\"order_id\": 7}' or '[7]'."
)
@click.option(
    "--fixture",
    metavar="FILE.sql",
    help='The tables and rows before it runs, as SQL; "none": dutiful\'s tables alone.',
)
@click.option("--answers", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.json",
              help='What third parties reply: {"POST https://…": {…}}.')  # fmt: skip
@click.option(
    "--sibling", "siblings", multiple=True, metavar="JSON", help="Arguments of another duty, in any order."
)
@click.option("--golden", multiple=True, metavar="JSON", help="Arguments that an older version stored.")
@click.option(
    "--volatile", multiple=True, metavar="TABLE.COLUMN", help="A column that may differ from run to run."
)
@click.option(
    "--process", is_flag=True, help="Who is cut off is a process that ends there, not an exception."
)
@click.option("--scenario", type=click.Choice(SCENARIOS), help="This kind alone.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="So many scenarios at most, of each kind a part."
)
@click.option("--seed", type=int, default=0, metavar="N", help="Which part that is.")
@click.option("--no-store", is_flag=True, help="Keep nothing of it in the app's store.")
@click.option(
    "--list", "listing", is_flag=True, help="The last drills that are kept, of this task or of all."
)
@pass_session
def drill_command(
    session: Session,
    task: str | None,
    args_json: str,
    fixture: str | None,
    answers: Path | None,
    siblings: tuple[str, ...],
    golden: tuple[str, ...],
    volatile: tuple[str, ...],
    process: bool,
    scenario: str | None,
    limit: int | None,
    seed: int,
    no_store: bool,
    listing: bool,
) -> int:
    """Try whether a task may be run twice, cut off anywhere, overtaken, or run late.

    Every scenario starts from a copy of the fixture; the app's own tables are neither read nor written.
    Calls by httpx, requests, urllib and smtplib go to a simulated provider. What came of it is kept in the
    app's store, for check and the page. Exit 0 if all ends as it should, 1 with findings, 3 if ends cannot
    be compared.
    """
    if listing:
        return _list(session, task)
    if task is None or fixture is None:
        missing = "--fixture FILE.sql (or none)" if task is not None else "MODULE:TASK"
        raise click.UsageError(f"Give {missing}: which task, with which rows before it. Or --list.")
    from ..drill import drill
    from . import drills as kept

    found = find_task(task)
    report = drill(
        found,
        _json(args_json, "--args"),
        _fixture(fixture),
        answers=None if answers is None else _json(answers.read_text("utf-8"), "--answers"),
        volatile=volatile,
        siblings=[_json(one, "--sibling") for one in siblings],
        golden=[_json(one, "--golden") for one in golden],
        only=scenario,
        limit=limit,
        seed=seed,
        process=process,
    )
    number, why_not = None, "--no-store"
    if not no_store:
        options = {"process": process, "scenario": scenario, "limit": limit, "seed": seed}
        try:
            number = kept.store(found, report, options, session.who)
        except DutifulError as error:
            why_not = f"{error.code} {error.message}"
    if session.printer.json:
        stored = {"id": number, "why": None if number is not None else why_not}
        session.printer.document("drill/1", {"app": report.app, **report.document(), "stored": stored})
    else:
        session.printer.put(report.text())
        if number is None and not no_store:
            session.printer.say(f"Not kept, so that check and the page know nothing of it: {why_not}")
    return CODES[report.result]


def _list(session: Session, task: str | None) -> int:
    from ..check.hashing import Hashes
    from ..operations import drills, registry
    from . import drills as kept

    name = find_task(task).name if task is not None and ":" in task else task
    with reach(session) as store:
        found = store.run(drills.of(store.name, name))
        named = {one.task for one in found}
        hashes = Hashes()
        known = {} if store.app is None else store.app.tasks
        codes: dict[str, str] = {}
        for row in store.run(registry.tasks(store.name)):  # of each the newest release comes first
            codes.setdefault(row.name, str(row.facts.get("code") or ""))
        codes |= {one: hashes.of(known[one].function) for one in named if one in known}
        kept.put_list(session.printer, store.name, found, codes)
    return DONE


def find_task(place: str) -> Task[..., Any]:
    """The task at MODULE:TASK. Raises AppNotFound, also for what the module raises when it is imported."""
    name, _, variable = place.partition(":")
    module = load_module(name, place)
    tasks = {key: value for key, value in vars(module).items() if isinstance(value, Task)}
    found = tasks.get(variable)
    if found is None:
        raise AppNotFound(
            f"{name} has no task {variable!r}{near(variable, tasks)}.",
            hint="Write MODULE:TASK, with the name of the function: shop.jobs:send_receipt",
        )
    return found


def _fixture(given: str) -> str | None:
    if given == "none":
        return None
    try:
        return Path(given).read_text("utf-8")
    except OSError as error:
        raise click.BadParameter(
            f"{given} cannot be read ({error.strerror}). It is a file of SQL, or none.",
            param_hint="--fixture",
        ) from None


def _json(text: str, option: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no JSON: {error}.", param_hint=option) from None
    if not isinstance(value, (dict, list)):
        raise click.BadParameter(f"{text!r} is neither an object nor a list.", param_hint=option)
    return value
