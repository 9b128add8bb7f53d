"""``dutiful web``: the page by itself."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from ..web.server import Alone, Standing
from .exits import DONE
from .lazy import SharedCommand
from .loading import app_path, load_app
from .reach import reach
from .session import Session, pass_session


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
) -> int:
    """Serve the web page, until Ctrl-C.

    On this machine alone it is entered by the address that is printed, once. Elsewhere it asks for a
    password, or believes a proxy; without one of these it does not start.
    """
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
    session.printer.put(alone.address)
    session.printer.say(
        "This address lets one browser in, once. Ctrl-C ends the page." if alone.token else "Ctrl-C ends it."
    )
    if opens:
        webbrowser.open(alone.address)
    try:
        server.run()
    finally:
        alone.close()
