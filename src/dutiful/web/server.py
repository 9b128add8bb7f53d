"""The page standing alone: where it listens, and who gets in there."""

from __future__ import annotations

import gc
import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from ..app import events
from ..app.app import App
from ..app.events import emit
from ..model.errors import DutifulError
from ..model.page_errors import PageError, PageNotInstalled, PageWouldBeOpen

if TYPE_CHECKING:
    import uvicorn

HOST, PORT = "127.0.0.1", 7878
LOCAL = ("127.0.0.1", "localhost", "[::1]")
SHUTDOWN_S = 2
BACKLOG = 128
GO_ON_S = 5.0

logger = logging.getLogger("dutiful.web")


class Standing(Struct, frozen=True):
    """How the page stands alone. ``token`` is in the address of :meth:`Alone.address`, used once."""

    bind: str = f"{HOST}:{PORT}"
    readonly: bool = False
    password_file: Path | None = None
    user_header: str = ""
    trusted_proxies: Sequence[str] = ()
    hosts: Sequence[str] = ()
    environment: str = ""


class Alone:
    """A page that can be served by itself. Raises PageWouldBeOpen, PageError, PageNotInstalled."""

    def __init__(self, target: App | tuple[str, str], standing: Standing) -> None:
        self.host, self.port = parse_bind(standing.bind)
        loopback = is_loopback(self.host)
        known = standing.password_file is not None or bool(standing.user_header)
        if not loopback and not known:
            raise PageWouldBeOpen(
                f"{standing.bind} can be reached by others, and nothing says who may come in."
            )
        if bool(standing.user_header) != bool(standing.trusted_proxies):
            raise PageError("--user-header and --trusted-proxy belong together: else anybody could send it.")
        if standing.password_file is not None and standing.user_header:
            raise PageError("--password-file and --user-header are two ways in: choose one.")
        try:
            from .answers import SIGN_IN
            from .entrance import Entrance, OneTimeToken, PasswordFile, TrustedHeader
            from .pages import build, visit_of
            from .site import Site
        except ImportError as error:
            raise PageNotInstalled(f"The page needs {error.name}, which is not installed.") from None
        entrance: Entrance
        if standing.password_file is not None:
            entrance = PasswordFile(standing.password_file)
        elif standing.user_header:
            entrance = TrustedHeader(standing.user_header, standing.trusted_proxies)
        else:
            entrance = OneTimeToken("local")
        self.entrance = entrance
        self.token = entrance.token if isinstance(entrance, OneTimeToken) else ""
        names = {*standing.hosts, *(LOCAL if loopback else ()), self.host}
        settings: dict[str, Any] = {
            "authorize": lambda request: entrance(visit_of(request)),
            "readonly": standing.readonly,
            "environment": standing.environment,
            # Bound to all addresses, only names that were given are known to be this page's.
            "hosts": None if self.host in ("0.0.0.0", "::") and not standing.hosts else sorted(names),
        }
        if isinstance(target, App):
            self.site = Site(target, **settings)
        else:
            self.site = Site.of_store(*target, **settings)
        if isinstance(entrance, PasswordFile):
            self.site.way_in = SIGN_IN
        elif self.token:
            self.site.way_in = (
                "Open the address that was printed when the page was started; it lets one browser in."
            )
        self.site.signs_out = not isinstance(entrance, TrustedHeader)
        self.asgi = build(self.site, None if isinstance(entrance, TrustedHeader) else entrance)
        self._stop = threading.Event()

    @property
    def address(self) -> str:
        """Where a browser is to go first."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = LOCAL[0] if host in ("0.0.0.0", "[::]") else host
        query = f"sign-in?token={self.token}" if self.token else ""
        return f"http://{host}:{self.port}/{query}"

    def listen(self) -> socket.socket:
        """Take the port; with port 0 one that is free. Raises PageError where it cannot be had."""
        listening = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self.host, self.port))
            listening.listen(BACKLOG)  # from now on whoever comes waits for an answer
        except OSError as error:
            listening.close()
            raise PageError(
                f"Cannot listen at {self.host}, port {self.port}: {error.strerror or error}.",
                hint="Is another page there already? Another port: --bind HOST:PORT; any free one: port 0.",
            ) from None
        self.port = listening.getsockname()[1]
        return listening

    def server(self) -> uvicorn.Server:
        """Serves what ``listen`` gave; a stop waits two seconds for streams to end."""
        try:
            import uvicorn
        except ImportError as error:
            raise PageNotInstalled(f"The page needs {error.name}, which is not installed.") from None
        self.go_on()
        gc.freeze()  # what is loaded stays: without this a page now and then waits 50 ms for a collection
        config = uvicorn.Config(
            self.asgi,
            host=self.host,
            port=self.port,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who is believed is said by --trusted-proxy alone
            timeout_graceful_shutdown=SHUTDOWN_S,
            lifespan="off",
        )
        return uvicorn.Server(config)

    def go_on(self) -> None:
        """From now on it walks bulk operations that nobody walks: whoever began one may have been killed."""
        if not self.site.readonly:
            threading.Thread(target=self._walk, name="dutiful-bulks", daemon=True).start()

    def _walk(self) -> None:
        from ..supervise.bulk_ops import walker_name
        from ..worker import bulks

        while not self._stop.wait(GO_ON_S):
            try:
                bulks.walk_all(self.site.engine, self.site.name, walker_name(), self._stop.wait)
            except DutifulError as error:
                emit(logger, logging.WARNING, events.CHORE_FAILED, chore="bulks", error=str(error))

    def close(self) -> None:
        """Close its connections for reading, and stop walking after the batch under way."""
        self._stop.set()
        self.site.close()


def parse_bind(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``HOST``, ``:PORT`` or a port. Raises PageError."""
    host, found, port = text.rpartition(":")
    if text.isdecimal():
        host, port = HOST, text
    elif not found or (text.startswith("[") and text.endswith("]")):
        host, port = text, str(PORT)
    host = host.removeprefix("[").removesuffix("]") or HOST
    if not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise PageError(f"--bind {text!r}: a host and a port, as 127.0.0.1:{PORT}.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
