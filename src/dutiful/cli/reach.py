"""The store that a command works on, and whose jobs in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from ..app.app import App
from ..engines.contract import Engine
from ..engines.urls import open_engine
from ..model.errors import StoreUnreachable
from ..model.keys import near
from ..operations import health
from ..operations.plan import Operation
from .loading import app_path, load_app
from .session import Session

if TYPE_CHECKING:
    from ..supervise.ops import Ops

T = TypeVar("T")


@dataclass(frozen=True)
class Reach:
    """An engine, the name of an app, and the App itself where its code was loaded."""

    engine: Engine
    name: str
    app: App | None

    def run(self, operation: Operation[T]) -> T:
        """Carry out the operation."""
        return self.engine.run(operation)

    def ops(self, session: Session) -> Ops:
        """People's verbs, as whoever calls: who can open the store may do all of them."""
        from ..supervise.ops import Operator, Ops

        return Ops(self, Operator(session.who, perms="admin", how="cli"))

    def act(self, session: Session, verb: str, operation: Operation[T]) -> T:
        """Carry out a person's verb: through the service layer, with its audit."""
        done = self.ops(session).act(verb, operation, lambda _: verb)
        assert done.value is not None or not done.replayed
        return done.value  # type: ignore[return-value]


@contextmanager
def reach(session: Session, *, makes: bool = False, named: bool = True) -> Iterator[Reach]:
    """Open the store that the options name; closed at the end.

    Unless it ``makes`` one, a SQLite file that is not there is an error: looking creates nothing.
    Without ``named`` the app's name does not matter.
    """
    if session.store is not None:
        if session.app is not None:
            raise click.UsageError("--app and --store both name a database: give one of them.")
        engine, app = open_engine(session.store), None
    else:
        app = load_app(app_path(session.app))
        engine = app.engine
        if session.app_name not in (None, app.name):
            raise click.UsageError(f"The app is called {app.name!r}; --app-name is for --store alone.")
    try:
        if not makes:
            demand_file(engine)
        name = app.name if app is not None else (_name(engine, session.app_name) if named else "")
        yield Reach(engine, name, app)
    finally:
        engine.close()


@contextmanager
def with_app(session: Session) -> Iterator[App]:
    """The App itself, for commands that need its tasks; its engine is closed at the end."""
    if session.store is not None:
        raise click.UsageError("This needs the app's code, not only a store: give --app MODULE:VAR.")
    app = load_app(app_path(session.app))
    try:
        yield app
    finally:
        app.close()


def _name(engine: Engine, given: str | None) -> str:
    """The app meant; with none in the store yet, no name, which finds nothing."""
    names = engine.run(health.apps())
    if given is not None:
        if names and given not in names:
            raise click.UsageError(f"The store has no app {given!r}{near(given, names)}.")
        return given
    if len(names) > 1:
        raise click.UsageError(
            f"The store has {len(names)} apps: give --app-name, one of {', '.join(names)}."
        )
    return names[0] if names else ""


def demand_file(engine: Engine) -> None:
    """Raises StoreUnreachable where the engine's file is not there: looking makes none."""
    path = getattr(engine, "path", None)
    if engine.name == "sqlite" and path not in (None, ":memory:") and not os.path.exists(path):
        raise StoreUnreachable(
            f"There is no file {path} yet.",
            hint="Is the path right? The first enqueue makes the file, and so does: dutiful migrate",
        )
