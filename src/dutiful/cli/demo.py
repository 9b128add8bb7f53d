"""``dutiful demo``: the demonstration, by a package of its own that is loaded only for it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from .exits import DONE, Refusal
from .lazy import SharedCommand
from .session import Session, pass_session


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration is told."""

    fast: bool
    seed: int | None
    kills: int | None
    json: bool
    keep: bool
    orders: Path | None
    opens: bool | None


@click.command("demo", cls=SharedCommand)
@click.option("--fast", is_flag=True, help="The same orders, more quickly: at most 15 seconds.")
@click.option("--seed", type=int, metavar="N", help="Repeat a run's chances.")
@click.option("--kills", type=click.IntRange(1), metavar="N", help="How many workers are killed.")
@click.option("--keep", is_flag=True, help="Leave the folder with the databases behind.")
@click.option(
    "--orders",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Other orders than those that come along.",
)
@click.option(
    "--open/--no-open",
    "opens",
    default=None,
    help="Open the page in a browser (default: on a terminal of a desktop).",
)
@pass_session
def demo_command(
    session: Session,
    fast: bool,
    seed: int | None,
    kills: int | None,
    keep: bool,
    orders: Path | None,
    opens: bool | None,
) -> int:
    """Three ways to charge 200 orders while workers are killed: two lose or double, dutiful does not.

    Its page is opened on this machine alone; one order dies, and you may retry it there. Exit 0 only if
    dutiful was exact and the two others were not. Nothing is installed or sent anywhere.
    """
    options = DemoOptions(fast, seed, kills, session.json, keep, orders, opens)
    try:
        demo = import_module("dutiful.demo")
    except ModuleNotFoundError as error:
        if error.name != "dutiful.demo":
            raise
        raise Refusal("The demonstration is not part of this installation.") from None
    code = demo.run(options)
    return DONE if code is None else int(code)
