"""A PostgreSQL server's doorman that cuts a connection at a chosen statement, before or after it is done.

It understands just enough of the protocol to know which statement a client executes, prepared or not.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

SIZE = 65_536
ENDS = ("COMMIT", "BEGIN")
"""A transaction that was rolled back is forgotten when the next begins."""

When = Literal["before", "unanswered", "forwarded", "silent", "late"]
"""Cut before the server hears of the statement; when it has answered, and the client has not heard;
or as soon as the server has it, whatever becomes of it. *Silent*: the answer is swallowed, and the
connection is cut only ``hold_s`` later. *Late*: the client is cut off at once, and the server gets the
statement ``hold_s`` later, on a connection that it takes for a good one."""


@dataclass
class Trap:
    """Cuts the connection at the next ``times`` executions of a statement that contains ``text``.

    With ``after`` only in a transaction in which a statement was executed that contains this.
    """

    text: str
    when: When
    times: int = 1
    after: str = ""
    hold_s: float = 0.0
    sprung: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, statement: str, before: list[str]) -> bool:
        with self.changed:
            if self.text not in statement or self.sprung >= self.times:
                return False
            if self.after and not any(self.after in other for other in before):
                return False
            self.sprung += 1
            self.changed.notify_all()
            return True

    def wait(self, deadline_s: float = 60.0) -> None:
        """Until all of it has happened."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.sprung >= self.times, deadline_s):
                raise AssertionError(f"not within {deadline_s:g} s: a statement with {self.text!r}")


class Proxy:
    """Listens on a port of its own and forwards to the server of ``url``."""

    def __init__(self, url: str, host: str = "127.0.0.1") -> None:
        self._target = urlsplit(url)
        self._listener = socket.create_server((host, 0), backlog=64)
        port = self._listener.getsockname()[1]
        user = f"{self._target.username}@" if self._target.username else ""
        self.url = urlunsplit(self._target._replace(netloc=f"{user}{host}:{port}"))
        self._traps: list[Trap] = []
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def trap(self, text: str, when: When, times: int = 1, *, after: str = "", hold_s: float = 0.0) -> Trap:
        """Set a trap."""
        trap = Trap(text, when, times, after, hold_s)
        self._traps = [other for other in self._traps if other.sprung < other.times] + [trap]
        return trap

    def sprung_by(self, statement: str, before: list[str]) -> Trap | None:
        """The trap that the statement springs, after those before it in its transaction."""
        return next((trap for trap in self._traps if trap.take(statement, before)), None)

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection((self._target.hostname or "", self._target.port or 5432))
            except OSError:
                return
            with server:
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(OSError):
                    _Conversation(self, client, server).run()


class _Conversation:
    """One connection; ``run`` returns when it is over or cut."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._started = False
        self._rest = b""
        self._statements: dict[bytes, str] = {}
        self._before: list[str] = []

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([self._client, self._server], [], [])
            if self._server in ready:
                data = self._server.recv(SIZE)
                if not data:
                    return
                self._client.sendall(data)
            if self._client in ready:
                data = self._client.recv(SIZE)
                if not data:
                    return
                if self._forward(data):
                    return

    def _forward(self, data: bytes) -> bool:
        """True if the connection is to be cut."""
        self._rest += data
        sprung: Trap | None = None
        whole = b""
        for message in self._messages():
            statement = self._executed(message)
            if statement:
                sprung = sprung or self._proxy.sprung_by(statement, self._before)
                self._before.append(statement)
                if statement.startswith(ENDS):
                    self._before.clear()
            whole += message
        if sprung is None:
            if whole:
                self._server.sendall(whole)
            return False
        if sprung.when == "before":
            return True
        if sprung.when == "late":
            self._client.close()
            time.sleep(sprung.hold_s)
        self._server.sendall(whole)
        if sprung.when != "forwarded":
            self._listen_to_the_end()
        if sprung.when == "silent":
            time.sleep(sprung.hold_s)
        return True

    def _messages(self) -> Iterator[bytes]:
        while True:
            head = 1 if self._started else 0
            if len(self._rest) < head + 4:
                return
            size = head + struct.unpack_from("!I", self._rest, head)[0]
            if len(self._rest) < size:
                return
            message, self._rest = self._rest[:size], self._rest[size:]
            if not self._started:
                (code,) = struct.unpack_from("!I", message, 4)
                self._started = code >> 16 == 3  # else it asks for encryption, which is refused
            yield message

    def _executed(self, message: bytes) -> str | None:
        """The statement that the message executes, if it does."""
        if message[:1] == b"P":
            name, text, *_ = message[5:].split(b"\0", 2)
            self._statements[name] = text.decode()
        elif message[:1] == b"B":
            _portal, name, *_ = message[5:].split(b"\0", 2)
            return self._statements[name]
        elif message[:1] == b"Q":
            return message[5:-1].decode()
        return None

    def _listen_to_the_end(self) -> None:
        """Until the server is ready for the next statement: this one is committed, or refused."""
        answer = b""
        while True:
            while len(answer) >= 5:
                size = 1 + struct.unpack_from("!I", answer, 1)[0]
                if len(answer) < size:
                    break
                if answer[:1] == b"Z":
                    return
                answer = answer[size:]
            data = self._server.recv(SIZE)
            if not data:
                return
            answer += data
