"""``dutiful completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

import sys

import click

from .lazy import COMPLETION, SharedCommand
from .session import Session, pass_session

SHELLS = {
    "bash": 'eval "$(dutiful completion bash)"      # in ~/.bashrc',
    "zsh": 'eval "$(dutiful completion zsh)"       # in ~/.zshrc, after compinit',
    "fish": "dutiful completion fish | source       # in ~/.config/fish/config.fish",
}


@click.command("completion", cls=SharedCommand)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@pass_session
def completion_command(session: Session, shell: str) -> None:
    """Print the script that lets a shell complete commands and options.

    In ~/.bashrc: eval "$(dutiful completion bash)". In ~/.zshrc, after compinit: eval "$(dutiful
    completion zsh)". In ~/.config/fish/config.fish: dutiful completion fish | source.
    """
    from click.shell_completion import get_completion_class

    from .root import program

    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    script = kind(program, {}, "dutiful", COMPLETION).source()
    if session.json:
        session.printer.document("completion/1", {"shell": shell, "script": script})
        return
    session.printer.put(script)
    if sys.stdout.isatty():
        session.printer.say(f"To have it in every shell:  {SHELLS[shell]}")
