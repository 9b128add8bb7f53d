"""``dutiful web``: the page by itself."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import click

from ..web.entrance import OneTimeToken
from ..web.server import Alone, Standing
from .exits import DONE
from .following import end_with
from .lazy import SharedCommand
from .loading import app_path, load_app
from .reach import reach
from .session import Session, pass_session

CAME_IN = "A browser came in by this address, which is used up."


@click.command("web", cls=SharedCommand)
@click.option(
    "--bind", default="127.0.0.1:7878", metavar="HOST:PORT", help="Where to listen (127.0.0.1:7878)."
)
@click.option("--read-only", is_flag=True, help="No buttons; nothing can be changed through it.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lines name:role:password (viewer, operator, admin), or one line with a password.",
)
@click.option("--user-header", default="", metavar="NAME", help="A proxy says in this header who it is.")
@click.option("--trusted-proxy", multiple=True, metavar="CIDR", help="The proxy that is believed.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name under which it is asked for.")
@click.option("--env", default="", metavar="NAME", help='Stands on every page, as "production".')
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
@click.option("--parent", type=int, hidden=True, help="End when this process, which started it, is gone.")
@pass_session
def web_command(
    session: Session,
    bind: str,
    read_only: bool,
    password_file: Path | None,
    user_header: str,
    trusted_proxy: tuple[str, ...],
    hosts: tuple[str, ...],
    env: str,
    opens: bool,
    parent: int | None,
) -> int:
    """Serve the web page, until Ctrl-C.

    On this machine alone it is entered by the address that is printed, once. Elsewhere it asks for a
    password, or believes a proxy; without one of these it does not start.
    """
    if parent is not None:
        end_with(parent)
    standing = Standing(bind, read_only, password_file, user_header, trusted_proxy, hosts, env)
    if session.store is not None:
        with reach(session) as store:
            _serve(session, Alone((session.store, store.name), standing), opens)
    else:
        app = load_app(app_path(session.app))
        try:
            _serve(session, Alone(app, standing), opens)
        finally:
            app.close()
    return DONE


def _serve(session: Session, alone: Alone, opens: bool) -> None:
    server = alone.server()
    listening = alone.listen()
    session.printer.put(alone.address)
    sys.stdout.flush()
    if isinstance(alone.entrance, OneTimeToken):
        alone.entrance.on_used = lambda: session.printer.say(CAME_IN)
        session.printer.say("This address lets one browser in, once. Ctrl-C ends the page.")
    else:
        session.printer.say("Ctrl-C ends it.")
    if opens:
        webbrowser.open(alone.address)
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
        alone.close()
