"""Cut off the next run of a test's app at a boundary of its body, as a kill does."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..app.app import App
from ..drill.boundaries import Plan, Track, own
from ..drill.runs import Scene, quiet
from ..drill.shim_sqlite import sqlite_shim
from ..engines.sqlite import SqliteEngine
from ..model.errors import InvalidOption
from ..operations import workers


class _Here:
    """The app's own database, as a drill's scene wants one."""

    def __init__(self, url: str) -> None:
        self.url = url


class _OwnScene(Scene):
    def _engine(self) -> Any:
        return self.app.engine


def crash_at(app: App, boundary: int) -> str | None:
    """Run the next due job, and cut it off at its ``boundary`` (0 is before its first statement).

    Boundaries are statements, commits, files that are written, and the return of the body. What was not
    committed is lost, the job lapses, and the next ``run_all`` runs it again. Returns where it was cut off,
    as "after COMMIT #1 (jobs.py:12)"; None if no job is due, or its run ended before. For a store that is a
    file of SQLite's, or on PostgreSQL. Raises InvalidOption for one in memory.
    """
    if isinstance(app.engine, SqliteEngine) and app.engine.memory:
        raise InvalidOption(
            "crash_at needs a store that outlives a connection.",
            hint='Give the app a file (App(…, "sqlite:///jobs.db")), or use the fixture dutiful_app.',
        )
    app.close()  # its connections are opened anew, with the shim
    track = Track(Plan(boundary, "crash"))
    with ExitStack() as stack:
        stack.enter_context(quiet())
        if isinstance(app.engine, SqliteEngine):
            stack.enter_context(sqlite_shim(lambda path: path))
        else:
            from ..drill.shim_postgres import postgres_shim

            stack.enter_context(postgres_shim(lambda name: name))
        try:
            for task in app.tasks.values():
                own(task.function.__code__.co_filename)
                scene = _OwnScene(app, task, _Here(app.url), lambda: 0)  # type: ignore[arg-type]
                met = scene.run(track) is not None
                for worker in scene.workers:
                    app.engine.run(workers.leave(worker))
                if met:
                    break
        finally:
            app.close()
    return track.words(boundary) if track.crashed else None
