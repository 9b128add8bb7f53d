"""The commands of `./dev`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from devtools import environments, needs, pythons, suite
from devtools.environments import Environment
from devtools.places import ROOT, give_up, say

USAGE = """\
./dev COMMAND ...     Needs Python 3.11 or newer; does its own set-up.

  demo [args]         the demonstration: workers killed, nothing lost or doubled
  test [args]         checks, then the whole suite, and part of it on the newest Python found
       --all          fails if anything had to be skipped because this machine lacks it
       --full-python  the whole suite on the newest Python, too
       PYTEST ARGS    only these tests, and no checks: ./dev test tests/unit -k retry
  check               ruff, mypy and the house tests
  format              lets ruff write the layout and the simple repairs
  bench [args]        measures us, the floor and the peers in one run
  chaos [args]        processes killed and stopped, servers crashed (--engine E --minutes N)
  model [args]        the protocol and its weakened forms, explored state by state
  sim [args]          the code under a seeded scheduler, with faults at every yield (--seeds N)
  interleave [args]   statements of two or three sessions in every order, on PostgreSQL
  shots [FOLDER]      pictures of every screen of the web page, to be looked at
  powerloss [args]    the power goes after each write of SQLite (--images N --seed S)
  python [args]       the Python of the test environment
"""

LONG = {
    "chaos": "tests.chaos",
    "model": "tests.protocol",
    "sim": "tests.simulation",
    "interleave": "tests.interleavings",
    "powerloss": "tests.powerloss",
    "shots": "tests.web.shots",
}
"""What checks the promise at full size: commands of their own, each a package of tests."""


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name in LONG:
            long_run(name, rest)
        if name not in COMMANDS:
            print(f"dev: there is no command {name!r}\n\n{USAGE}", end="", file=sys.stderr)
            return 2
        return COMMANDS[name](rest)
    except KeyboardInterrupt:
        return 130


def demo(arguments: Sequence[str]) -> int:
    """Installs what a user of the page would, and nothing for tests."""
    environment = environments.ready(_main_environment(), "demo")
    _become(environment, [environment.program("dutiful"), "demo", *arguments])


def test(arguments: Sequence[str]) -> int:
    return suite.run(_main_environment(), arguments)


def check(arguments: Sequence[str]) -> int:
    if arguments:
        give_up("check takes no arguments: run a single test with ./dev test PATH")
    environment = environments.ready(_main_environment(), "dev")
    return suite.check(environment, house=True)


def format_code(arguments: Sequence[str]) -> int:
    ruff = environments.ready(_main_environment(), "dev").program("ruff")
    paths = list(arguments) or ["."]
    fixed = subprocess.call([ruff, "check", "--fix", *paths], cwd=ROOT)
    return subprocess.call([ruff, "format", *paths], cwd=ROOT) or fixed


def bench(arguments: Sequence[str]) -> int:
    """The peers are measured where they install; one that does not is left out of the table."""
    if not (ROOT / "bench" / "__main__.py").exists():
        return _not_built("bench")
    environment = environments.ready(environments.bench(pythons.oldest_supported()), "bench")
    environments.add_peers(environment)
    for need in (needs.POSTGRES, needs.REDIS):
        if need.obtain(environment) is None:
            say(f"without {need.title}: what needs it is not measured")
    _become(environment, [str(environment.python), "-m", "bench", *arguments])


def long_run(name: str, arguments: Sequence[str]) -> NoReturn:
    """One of the long runs; what it needs of servers is brought as for the tests."""
    environment = environments.ready(_main_environment(), "dev")
    (needs.CHROMIUM if name == "shots" else needs.POSTGRES).obtain(environment)
    _become(environment, [str(environment.python), "-m", LONG[name], *arguments])


def python(arguments: Sequence[str]) -> int:
    environment = environments.ready(_main_environment(), "dev")
    _become(environment, [str(environment.python), *arguments])


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "test": test,
    "check": check,
    "format": format_code,
    "bench": bench,
    "python": python,
}


def _main_environment() -> Environment:
    return environments.main(pythons.oldest_supported())


def _not_built(name: str) -> int:
    say(f"./dev {name} is not built yet in this version")
    return 2


def _become(environment: Environment, command: Sequence[str]) -> NoReturn:
    """Gives this process to the command, so that signals reach it and its exit code is ours."""
    os.environ["VIRTUAL_ENV"] = str(environment.path)
    sys.stdout.flush()
    os.execv(command[0], list(command))
