"""Where things are in a clone, and how `./dev` speaks to the person in front of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"


def say(line: str) -> None:
    """One line about what is being done, apart from what the tools print."""
    print(f"dev: {line}", file=sys.stderr, flush=True)


def give_up(line: str, code: int = 2) -> NoReturn:
    """Ends the command with a message that says what to do."""
    say(line)
    raise SystemExit(code)
