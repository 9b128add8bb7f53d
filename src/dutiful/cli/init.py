"""``dutiful init``: a first project, to be run, tested and drilled at once."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import click

from ..engines.urls import open_engine
from .exits import DONE, Refusal
from .first_project import NEXT, files
from .lazy import SharedCommand
from .session import Session, pass_session

NAME = re.compile(r"[^A-Za-z0-9._-]+")
NAME_MAX = 40


@click.command("init", cls=SharedCommand)
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path), default=".")
@pass_session
def init_command(session: Session, folder: Path) -> int:
    """Write a first project into FOLDER (default: here): tasks, their tables, a schedule, tests, drills.

    In SQLite, or in the PostgreSQL that --store names: dutiful init shop --store postgresql://localhost/shop.
    Nothing that is there is written over. What to type next is printed.
    """
    if session.app is not None:
        raise click.UsageError("--app names an app that is there; init writes a new one: leave it away.")
    name = NAME.sub("-", folder.resolve().name).strip("-._")[:NAME_MAX] or "jobs"
    url = session.store if session.store is not None else f"sqlite:///{name}.db"
    _check(url)
    contents = files(name, url)
    if there := [path for path in contents if os.path.lexists(folder / path)]:
        raise Refusal(
            f"{folder} has {_and(there)} already. Nothing was written.",
            "Give another folder: dutiful init FOLDER",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in contents.items():
            with open(folder / path, "x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise Refusal(f"{error.filename} cannot be written: {error.strerror}.") from error
    _tell(session, folder, list(contents))
    return DONE


def _check(url: str) -> None:
    """That the URL can stand in a file of code; raises UsageError, InvalidUrl, DriverMissing."""
    engine = open_engine(url)
    if engine.name == "sqlite" and (getattr(engine, "memory", False) or "?" in url):
        raise click.UsageError(
            f"--store {url}: a first project wants a file, as sqlite:///jobs.db, without options."
        )
    if re.search(r"://[^/@]*:[^/@]+@|[?&]password=", url):
        raise click.UsageError(
            "The URL has a password, which would stand in jobs.py. Leave it away here; libpq finds it in"
            " PGPASSWORD, PGPASSFILE or ~/.pgpass."
        )
    if not url.isprintable() or '"' in url or "\\" in url:
        raise click.UsageError(f"--store {url!r} has a sign that cannot stand in a line of code.")


def _tell(session: Session, folder: Path, written: list[str]) -> None:
    printer = session.printer
    commands = [command for command, _ in NEXT]
    if folder.resolve() != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(folder))}")
    if printer.json:
        printer.document("init/1", {"folder": str(folder), "written": written, "next": commands})
        return
    printer.say(f"Written: {', '.join(str(folder / path) for path in written)}. Next:")
    wide = max(len(command) for command in commands if len(command) < 50)
    why = dict(NEXT)
    for command in commands:
        printer.put(f"{command:<{wide}}  # {why[command]}" if why.get(command) else command)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
