"""``dutiful migrate``: the tables, brought to the version that this code needs."""

from __future__ import annotations

from typing import Any, cast

import click

from ..engines import ledgers
from ..engines.urls import open_engine
from ..sql import migrations
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session

NOTHING = "Nothing to do: the tables are of this version."


@click.command("migrate", cls=SharedCommand)
@click.option("--plan", is_flag=True, help="Only say what would be done.")
@click.option("--sql", is_flag=True, help="Print the SQL of it, and do nothing.")
@click.option(
    "--ledger",
    metavar="URL",
    help="Make only the ledger, in a database without jobs: for once(), and for exactly_once tasks that"
    " work there.",
)
@pass_session
def migrate_command(session: Session, plan: bool, sql: bool, ledger: str | None) -> None:
    """Bring the tables to this version. Safe to repeat; one migrator works at a time."""
    if ledger is not None:
        _migrate_ledger(session, ledger, plan, sql)
        return
    with reach(session, makes=True, named=False) as store:
        pending: list[str] = cast(Any, store.engine).pending()  # both engines have it, the protocol not yet
        if not pending:
            store.engine.check_schema()  # says so if the tables are of a newer version than this code
        if sql:
            numbers = {int(title.partition(" ")[0]) for title in pending}
            _print_sql(
                session,
                pending,
                {m.title: m.text for m in migrations(store.engine.name) if m.number in numbers},
            )
            return
        done = [] if plan else store.engine.migrate()
    _tell(session, done, pending if plan else [])


def _migrate_ledger(session: Session, url: str, plan: bool, sql: bool) -> None:
    if session.app is not None or session.store is not None:
        raise click.UsageError("--ledger names the database by itself: leave --app and --store away.")
    engine = open_engine(url)
    try:
        pending = ledgers.pending(engine)
        if sql:
            texts = {ledgers.TITLE: ";\n\n".join((*ledgers.texts(engine.name), ""))} if pending else {}
            _print_sql(session, pending, texts)
            return
        done = [] if plan else ledgers.migrate(engine)
    finally:
        engine.close()
    _tell(session, done, pending if plan else [])


def _print_sql(session: Session, pending: list[str], texts: dict[str, str]) -> None:
    printer = session.printer
    if printer.json:
        printer.document("migrate/1", {"done": [], "pending": pending, "sql": list(texts.values())})
        return
    for title, text in texts.items():
        printer.put(f"-- {title}\n{text.rstrip()}\n")
    if not texts:
        printer.say(NOTHING)


def _tell(session: Session, done: list[str], left: list[str]) -> None:
    printer = session.printer
    if printer.json:
        printer.document("migrate/1", {"done": done, "pending": left})
        return
    for title in left:
        printer.put(f"would apply {title}")
    for title in done:
        printer.put(f"applied {title}")
    if not left and not done:
        printer.say(NOTHING)
