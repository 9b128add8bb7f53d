"""Commands of dutiful's that the demonstration gives as a person would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from .crew import environment
from .places import Folder

COMMAND_S = 120.0


class CommandFailed(Exception):
    """A command did not do what it is for."""


def give(folder: Folder, words: Sequence[str], *, fine: Sequence[int] = (0,)) -> str:
    """Give it, and return what it says. Raises CommandFailed for an exit code that is not ``fine``."""
    name = " ".join(words[:2] if words[0] == "dead" else words[:1])
    # In a process group of its own: a Ctrl-C is for the demonstration to see to.
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dutiful", *words],
            env=environment(folder),
            cwd=folder.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            process_group=0,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"dutiful {name} took more than {COMMAND_S:.0f} s") from None
    if done.returncode not in fine:
        said = done.stderr.strip() or done.stdout.strip()
        raise CommandFailed(f"dutiful {name} ended with {done.returncode}: {said}")
    return done.stdout
