"""Who may come in where the page stands alone: by a token used once, a password, or a proxy's word.

Mounted pages know their people by ``authorize=``; these are the same kind of function, for ``dutiful
web``. Sessions are in this process's memory: a restart ends them.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ..model.operators import Operator
from ..model.page_errors import PageError

COOKIE: Final = "dutiful_session"
SESSION_S: Final = 12 * 3600
TRIES_MAX: Final = 5
"""Wrong passwords in a row before everybody waits."""
LOCKED_S: Final = 30.0

Role = Literal["viewer", "operator", "admin"]


@dataclass(frozen=True, slots=True)
class Visit:
    """What an entrance needs to know of a request: the peer's address, headers in lower case, cookies."""

    address: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


@dataclass
class Sessions:
    """Who is in, by a random word in a cookie."""

    _known: dict[str, tuple[Operator, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    clock: Callable[[], float] = time.monotonic

    def begin(self, operator: Operator) -> str:
        """Let somebody in; returns the word for the cookie."""
        word = secrets.token_urlsafe(32)
        with self._lock:
            now = self.clock()
            self._known = {one: kept for one, kept in self._known.items() if kept[1] > now}
            self._known[word] = (operator, now + SESSION_S)
        return word

    def who(self, visit: Visit) -> Operator | None:
        """Who holds the cookie; None for nobody, or one who came too long ago."""
        with self._lock:
            found = self._known.get(visit.cookies.get(COOKIE, ""))
        return found[0] if found is not None and found[1] > self.clock() else None

    def end(self, visit: Visit) -> None:
        """Forget who holds the cookie."""
        with self._lock:
            self._known.pop(visit.cookies.get(COOKIE, ""), None)


class OneTimeToken:
    """A word in the address that was printed at the start: whoever uses it first is in, nobody after."""

    def __init__(self, name: str, role: Role = "admin") -> None:
        self.token = secrets.token_urlsafe(24)
        self.sessions = Sessions()
        self._operator = Operator(id=name, name=name, perms=role, how="token")
        self._lock = threading.Lock()
        self._used = False
        self.on_used: Callable[[], None] = lambda: None
        """Called when the address has let its one browser in."""

    def __call__(self, visit: Visit) -> Operator | None:
        """Who comes with the session's cookie."""
        return self.sessions.who(visit)

    def use(self, token: str) -> str | None:
        """The session's word for the token, once; None if it is wrong, or was used."""
        with self._lock:
            right = hmac.compare_digest(token.encode(), self.token.encode())
            if self._used or not right:
                return None
            self._used = True
        self.on_used()
        return self.sessions.begin(self._operator)


class PasswordFile:
    """Names, roles and passwords from a file: ``name:role:password`` a line, or one line with a password.

    The file is read at each sign-in, so that a change holds at once. After five wrong passwords nobody gets
    in for half a minute, however right theirs is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sessions = Sessions()
        self._wrong = 0
        self._locked_until = 0.0
        self._lock = threading.Lock()
        self._read()  # what is wrong with it is said at the start

    def __call__(self, visit: Visit) -> Operator | None:
        """Who comes with the session's cookie."""
        return self.sessions.who(visit)

    def sign_in(self, name: str, password: str) -> str | None:
        """The session's word; None if the password is wrong, or too many were."""
        with self._lock:
            if time.monotonic() < self._locked_until:
                return None
            found = None
            for known, role, right in self._read():
                same = hmac.compare_digest(password.encode(), right.encode())
                if same and hmac.compare_digest(name.encode(), known.encode()):
                    found = Operator(id=known, name=known, perms=role, how="password")
            if found is None:
                self._wrong += 1
                if self._wrong >= TRIES_MAX:
                    self._wrong, self._locked_until = 0, time.monotonic() + LOCKED_S
                return None
            self._wrong = 0
        return self.sessions.begin(found)

    @property
    def locked(self) -> bool:
        """Whether nobody gets in for a while."""
        return time.monotonic() < self._locked_until

    def _read(self) -> list[tuple[str, Role, str]]:
        try:
            lines = [line for line in self.path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise PageError(f"The password file {self.path} cannot be read: {error}.") from None
        lines = [line for line in lines if not line.startswith("#")]
        found: list[tuple[str, Role, str]] = []
        for line in lines:
            name, role, password = line.split(":", 2) if line.count(":") >= 2 else ("admin", "admin", line)
            if role not in ("viewer", "operator", "admin") or not password:
                raise PageError(f"The password file {self.path} has a line that is not name:role:password.")
            found.append((name, role, password))  # type: ignore[arg-type]
        if not found:
            raise PageError(f"The password file {self.path} is empty.")
        return found


class TrustedHeader:
    """A proxy in front has asked who it is, and says so in a header; nobody else is believed."""

    def __init__(self, header: str, proxies: Sequence[str], role: Role = "operator") -> None:
        try:
            self._proxies = [ipaddress.ip_network(one) for one in proxies]
        except ValueError as error:
            raise PageError(f"--trusted-proxy: {error}.") from None
        self._header = header.lower()
        self._role: Role = role

    def __call__(self, visit: Visit) -> Operator | None:
        """Whom the proxy names."""
        try:
            address = ipaddress.ip_address(visit.address)
        except ValueError:
            return None
        if not any(address in network for network in self._proxies):
            return None
        name = visit.headers.get(self._header, "").strip()
        if not name or len(name) > 200 or not name.isprintable():
            return None
        return Operator(id=name, name=name, perms=self._role, how="proxy", address=visit.address)


Entrance = OneTimeToken | PasswordFile | TrustedHeader
