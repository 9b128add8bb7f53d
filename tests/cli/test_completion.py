"""C3: the shells accept their scripts and complete commands by them, and that loads next to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dutiful.cli.root import COMMANDS
from tests.cli.conftest import Shop

PATIENCE_S = 60.0
ASKED = {
    "bash": 'eval "$(dutiful completion bash)"; COMP_WORDS=({words}); COMP_CWORD={place}; '
    "_dutiful_completion dutiful; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "zsh": 'autoload -U compinit; compinit -u -d "$PWD/dump"; eval "$(dutiful completion zsh)"; '
    "COMP_WORDS='{words}' COMP_CWORD={place} _DUTIFUL_COMPLETE=zsh_complete dutiful",
    "fish": "dutiful completion fish | source; complete --do-complete '{words}'",
}


def asked(shop: Shop, shell: str, words: str) -> list[str]:
    """What the shell offers for the last of the words."""
    place = len(words.split(" ")) - 1
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ASKED[shell].format(words=words, place=place)
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [shell, *quiet, "-c", command],
        cwd=shop.folder,
        env=shop.environ(PATH=path, HOME=str(shop.folder)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", list(ASKED))
def test_c3_a_shell_completes_commands_verbs_and_options(small_shop: Shop, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    assert "verdict" in asked(small_shop, shell, "dutiful ver")
    assert "limit" in asked(small_shop, shell, "dutiful queue li")
    assert "--older-than" in asked(small_shop, shell, "dutiful dead retry --old")


@pytest.mark.parametrize("shell", list(ASKED))
def test_c3_each_shell_has_a_script(small_shop: Shop, shell: str) -> None:
    answer = small_shop.bare("completion", shell)
    assert answer.code == 0 and f"{shell}_complete" in answer.out and "_DUTIFUL_COMPLETE" in answer.out
    assert small_shop.bare("completion", shell, "--json").document["script"].strip() == answer.out.strip()


def test_c3_a_shell_that_is_not_known_is_refused(small_shop: Shop) -> None:
    answer = small_shop.bare("completion", "csh")
    assert answer.code == 2 and "bash" in answer.err


WITNESS = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from dutiful.cli.root import program
program.main()
"""
"""Not -X importtime: that does not tell of what import_module imports."""


def loaded(shop: Shop, *args: str, **env: str) -> tuple[set[str], set[str]]:
    """The modules that are there when the program ends, and the lines that it says."""
    done = subprocess.run(
        [sys.executable, "-c", WITNESS, *args],
        env=shop.environ(**env),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return set(done.stderr.split()), set(done.stdout.splitlines())


def test_c3_completing_the_first_word_imports_no_command(small_shop: Shop) -> None:
    modules, said = loaded(
        small_shop, _DUTIFUL_COMPLETE="zsh_complete", COMP_WORDS="dutiful ", COMP_CWORD="1"
    )
    assert set(COMMANDS) <= said
    commands = {f"dutiful.cli.{module}" for module, _ in COMMANDS.values()}
    assert "dutiful.cli.root" in modules and not modules & commands


def test_c3_completing_a_verb_imports_its_command_alone(small_shop: Shop) -> None:
    modules, said = loaded(
        small_shop, _DUTIFUL_COMPLETE="zsh_complete", COMP_WORDS="dutiful queue ", COMP_CWORD="2"
    )
    assert {"list", "pause", "limit"} <= said
    commands = {f"dutiful.cli.{module}" for module, _ in COMMANDS.values()}
    assert modules & commands == {"dutiful.cli.queue"}
    assert not modules & {
        "psycopg",
        "apsw",
        "rich",
        "starlette",
        "uvicorn",
        "jinja2",
        "dutiful.worker.worker",
    }
