"""Which app is meant, and what went wrong while it was imported, told with the user's own lines."""

from __future__ import annotations

import os
import sysconfig
import tomllib
import traceback
from pathlib import Path
from types import ModuleType, TracebackType

import click

from ..app.app import App
from ..app.finding import find_app, find_module
from ..model.errors import AppNotFound, DutifulError
from .exits import USAGE

VARIABLE = "DUTIFUL_APP"
FRAMES_MAX = 6


class NoApp(click.UsageError):
    """Nothing says which app is meant."""

    exit_code = USAGE


def app_path(given: str | None) -> str:
    """MODULE:VAR as given, by the environment, or by ./pyproject.toml. Raises NoApp."""
    found = given or os.environ.get(VARIABLE) or _from_pyproject()
    if found:
        return found
    raise NoApp(
        'Which app? Give --app MODULE:VAR, set DUTIFUL_APP, or write app = "MODULE:VAR" '
        "under [tool.dutiful] in ./pyproject.toml. (--store URL is enough for looking.)"
    )


def _from_pyproject() -> str | None:
    path = Path("pyproject.toml")
    try:
        found = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("dutiful", {}).get("app")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise NoApp(f"./pyproject.toml cannot be read for [tool.dutiful] app: {error}") from None
    if found is not None and not isinstance(found, str):
        raise NoApp(f'[tool.dutiful] app in ./pyproject.toml is {found!r}; write it as "shop.jobs:app".')
    return found


def load_app(place: str) -> App:
    """The App at ``MODULE:VAR``, looked for in the current directory first.

    Raises AppNotFound, also for whatever the module raises while it is imported.
    """
    try:
        return find_app(place)
    except AppNotFound:
        raise
    except (Exception, SystemExit) as error:
        raise _broken(place.partition(":")[0], error) from None


def load_module(name: str, place: str) -> ModuleType:
    """The module of a MODULE:NAME, looked for in the current directory first; raises as :func:`load_app`."""
    try:
        return find_module(name, place)
    except AppNotFound:
        raise
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from None


def _broken(name: str, error: BaseException) -> AppNotFound:
    hint: list[str] = []
    if isinstance(error, DutifulError):
        what = f"{error.code} {error.message}"
        hint = error.hint.splitlines()
    elif isinstance(error, SystemExit):
        what = f"it ended the program, by sys.exit({error.code!r})."
    else:
        *before, what = "".join(traceback.format_exception_only(error)).rstrip().splitlines()
        hint = before if isinstance(error, SyntaxError) else []
    return AppNotFound(
        f"Importing {name} failed: {what}", hint="\n".join(hint + own_lines(error.__traceback__))
    )


def own_lines(trace: TracebackType | None) -> list[str]:
    """The last frames of the user's own code, as Python prints them, and where below it the error arose.

    Without any of the user's, of all code but ours.
    """
    ours = f"{Path(__file__).resolve().parents[1]}{os.sep}"
    every = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith("<frozen")]
    installed = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    shipped = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    theirs = [frame for frame in every if not os.path.realpath(frame.filename).startswith(ours)]
    libraries = [frame for frame in theirs if frame.filename.startswith(installed)]
    own = [frame for frame in theirs if not frame.filename.startswith(installed + shipped)] or libraries
    listed = traceback.StackSummary.from_list(own[-FRAMES_MAX:]).format()
    lines = [line.removeprefix("  ") for entry in listed for line in entry.rstrip().splitlines()]
    if own and every[-1] not in own and not os.path.realpath(every[-1].filename).startswith(ours):
        lines.append(f'... raised in "{every[-1].filename}", line {every[-1].lineno}, in {every[-1].name}')
    return lines
