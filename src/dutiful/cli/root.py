"""The program: all commands, and one place where every way to end becomes an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..model.errors import DutifulError
from .exits import DONE, INTERRUPTED
from .failures import report
from .lazy import COMPLETION, LazyGroup
from .session import Session

COMMANDS = {
    "demo": ("demo", "One minute: workers killed on purpose, nothing lost or doubled."),
    "init": ("init", "Write a first project: tasks, tests, drills."),
    "dev": ("dev", "A worker that reloads, and the page, in one terminal."),
    "worker": ("worker", "Run jobs; drains on SIGTERM, a second one stops."),
    "enqueue": ("enqueue", "Store one job of a task."),
    "job": ("job", "Jobs: list, show, why (isn't it running?), cancel, retry, unwaive."),
    "dead": ("dead_more", "Jobs that gave up: groups, list, retry, ack, edit, discard, undo."),
    "bulk": ("bulk", "Work on many jobs at once: list, show, watch, pause, abort."),
    "doubt": ("doubt", "Jobs in doubt: list, show, confirm, resume, refute, waive."),
    "queue": ("queue", "Queues: list, late, pause, resume, limit."),
    "schedule": ("schedule", "Schedules: list, show, preview, run, skip, pause, resume."),
    "gate": ("gate", "Orders, locks, rates and shares of tasks: list, show."),
    "lock": ("lock", "Locks by name: list, break."),
    "web": ("web", "The web page by itself."),
    "audit": ("audit", "Who did what: list, verify (that nobody changed it)."),
    "migrate": ("migrate", "Bring the tables to this version."),
    "verdict": ("verdict", "Is anything lost, doubled, late or unseen?"),
    "top": ("top", "The verdict, queues, what runs and what needs a person, live."),
    "alert": ("alert", "Alerts: list, test (the channels)."),
    "check": ("check", "The checklist over code; reads Celery and others, too."),
    "reconcile": ("reconcile", "Compare what is expected with what is done, and mend it."),
    "verify": ("verify", "Check the invariants on the live database."),
    "drill": ("drill", "Try a task on copies: twice, cut off, overtaken, late."),
    "doctor": ("doctor", "Check the store, its settings, and the workers."),
    "completion": ("completion", "The script that lets bash, zsh or fish complete commands."),
    "explain": ("explain", "What an error code or a rule of the checklist means."),
}


class Root(LazyGroup):
    """The program as click sees it; ``main`` never raises, and ends with a code of ``exits``."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> int:
        """Run one command; exits with its code, or returns it without ``standalone_mode``."""
        if instruction := os.environ.get(complete_var or COMPLETION):
            from click.shell_completion import shell_complete

            sys.exit(shell_complete(self, {}, "dutiful", complete_var or COMPLETION, instruction))
        code = self._run(list(sys.argv[1:] if args is None else args))
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: list[str]) -> int:
        session = Session()
        try:
            try:
                with self.make_context("dutiful", args, obj=session) as context:
                    code = self.invoke(context)
                sys.stdout.flush()
                return code if isinstance(code, int) else DONE
            except click.exceptions.Exit as end:
                sys.stdout.flush()
                return end.exit_code
            except BrokenPipeError:
                raise
            except (KeyboardInterrupt, click.Abort, EOFError):
                click.echo("Interrupted.", err=True)
                return INTERRUPTED
            except (DutifulError, click.ClickException, Exception) as error:
                return report(error, session)
        except BrokenPipeError:
            return _nobody_reads()


def _nobody_reads() -> int:
    """The reader of our output left (``| head``): end as any Unix program does then, by SIGPIPE."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stdout.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 128 + signal.SIGPIPE


@click.group(
    cls=Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 the answer is bad, 2 usage, "
    "3 cannot say, 4 no store or app, 5 refused, 6 partly done, 70 a bug of ours, 130 interrupted.",
)
@click.version_option(package_name="dutiful", message="dutiful %(version)s")
def program() -> None:
    """Background jobs on SQLite and PostgreSQL that are done once, and can show it."""


def run(args: Sequence[str] | None = None) -> int:
    """The ``dutiful`` program, from its arguments to its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no "…"
    return program.main(args, standalone_mode=False)
