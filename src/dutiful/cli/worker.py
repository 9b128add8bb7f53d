"""``dutiful worker``: run jobs until told to stop."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ..model.queues import parse_queues
from .exits import DONE
from .following import end_with
from .lazy import SharedCommand
from .loading import app_path, load_app
from .session import Session, pass_session

if TYPE_CHECKING:
    from ..check.hashing import Hashes


@click.command("worker", cls=SharedCommand)
@click.argument("app", metavar="[MODULE:VAR]", required=False)
@click.option(
    "-q",
    "--queues",
    metavar="LIST",
    help='In this order, "mail,default"; or weighted, "critical:4,default".'
    " Default: all that the app declares.",
)
@click.option(
    "-c",
    "--concurrency",
    type=int,
    metavar="N",
    help="How many plain tasks, and how many async ones, at a time (default 10).",
)
@click.option("--processes", type=int, default=1, metavar="N", help="Worker processes (default 1).")
@click.option("--until-empty", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--lease", metavar="SPAN", help="How long a silent worker keeps its jobs (default 30s).")
@click.option(
    "--health", type=click.IntRange(0, 65535), metavar="PORT", help="Answer /live and /ready there."
)
@click.option("--watch", is_flag=True, help="Start anew when the code changes (development).")
@click.option("--drain-timeout", metavar="SPAN", help="The time to finish in after SIGTERM (default 25s).")
@click.option("--parent", type=int, hidden=True, help="End when this process, which started it, is gone.")
@pass_session
def worker_command(
    session: Session,
    app: str | None,
    queues: str | None,
    concurrency: int | None,
    processes: int,
    until_empty: bool,
    lease: str | None,
    health: int | None,
    watch: bool,
    drain_timeout: str | None,
    parent: int | None,
) -> int:
    """Run jobs of the app. SIGTERM (or Ctrl-C) drains: what has not begun is handed back at once, what
    runs may finish; a second one stops."""
    from ..worker import processes as running
    from ..worker.options import WorkerOptions

    if session.store is not None:
        raise click.UsageError("A worker needs the app's code, not only a store: give MODULE:VAR.")
    if app is not None and session.app not in (None, app):
        raise click.UsageError("The app is given twice, as MODULE:VAR and by --app.")
    if queues is not None:
        parse_queues(queues)
    options = WorkerOptions(
        queues=queues,
        concurrency=concurrency,
        processes=processes,
        until_empty=until_empty,
        lease=lease,
        health=health,
        watch=watch,
        drain_timeout=drain_timeout,
    )
    path = app_path(app or session.app)
    load_app(path).code_of = code_of  # what is wrong with it is said once, by the parent, and well
    _log(session)
    if parent is not None and os.environ.get("DUTIFUL_PROCESS_NO") is None:  # a child follows its own
        end_with(parent)
    code = running.main(path, options)
    return DONE if code is None else code


def code_of(function: Callable[..., Any]) -> str:
    """A hash of a task's code; asked for when the worker has begun, by the thread that keeps the records."""
    global _hashes
    if _hashes is None:
        from ..check.hashing import Hashes

        _hashes = Hashes()
    return _hashes.of(function)


_hashes: Hashes | None = None


def _log(session: Session) -> None:
    """Show the events on stderr, unless the app has set up logging by itself."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s  %(message)s")
    handler.setFormatter(_JsonLines() if session.json else plain)
    logging.basicConfig(level=logging.WARNING if session.quiet else logging.INFO, handlers=[handler])


class _JsonLines(logging.Formatter):
    """One JSON document for each event, for whoever collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None) or record.getMessage(),
            **{name: value for name, value in getattr(record, "fields", {}).items() if name != "exc_info"},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()
