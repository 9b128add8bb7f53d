"""``dutiful migrate``: the tables, brought to the version that this code needs."""

from __future__ import annotations

from typing import Any, cast

import click

from ..sql import migrations
from .lazy import SharedCommand
from .reach import reach
from .session import Session, pass_session


@click.command("migrate", cls=SharedCommand)
@click.option("--plan", is_flag=True, help="Only say what would be done.")
@click.option("--sql", is_flag=True, help="Print the SQL of it, and do nothing.")
@pass_session
def migrate_command(session: Session, plan: bool, sql: bool) -> None:
    """Bring the tables to this version. Safe to repeat; one migrator works at a time."""
    printer = session.printer
    with reach(session, makes=True, named=False) as store:
        pending: list[str] = cast(Any, store.engine).pending()  # both engines have it, the protocol not yet
        if not pending:
            store.engine.check_schema()  # says so if the tables are of a newer version than this code
        if sql:
            numbers = {int(title.partition(" ")[0]) for title in pending}
            texts = {m.title: m.text for m in migrations(store.engine.name) if m.number in numbers}
            if printer.json:
                printer.document("migrate/1", {"done": [], "pending": pending, "sql": list(texts.values())})
                return
            for title, text in texts.items():
                printer.put(f"-- {title}\n{text.rstrip()}\n")
            if not texts:
                printer.say("Nothing to do: the tables are of this version.")
            return
        done = [] if plan else store.engine.migrate()
        left = pending if plan else []
    if printer.json:
        printer.document("migrate/1", {"done": done, "pending": left})
        return
    for title in left:
        printer.put(f"would apply {title}")
    for title in done:
        printer.put(f"applied {title}")
    if not left and not done:
        printer.say("Nothing to do: the tables are of this version.")
