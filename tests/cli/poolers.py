"""A pooler before a PostgreSQL server, as small as one can be: it lends sessions as PgBouncer does.

``mode`` "transaction": a client has a session until it is idle again, and the next client gets the one that
was given back last; "session": for as long as it is connected; "statement": as the first, and a transaction
is refused. The process and key told to a client are the pooler's own. Startup options are dropped.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any

SSL, GSS = 80877103, 80877104


class Pooler:
    """Listens on a port of its own for as long as the ``with`` lasts."""

    def __init__(self, port: int, mode: str) -> None:
        self._server, self._mode = port, mode
        self._idle: list[socket.socket] = []
        self._greeting: list[bytes] = []
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Pooler:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client:
            while True:
                (size,) = struct.unpack("!I", _exactly(client, 4))
                body = _exactly(client, size - 4)
                if struct.unpack("!I", body[:4])[0] not in (SSL, GSS):
                    break
                client.sendall(b"N")
            words = body[4:].split(b"\0")
            given = dict(zip(words[::2], words[1::2], strict=False))
            wanted = {name: given[name] for name in (b"user", b"database") if name in given}
            server = self._take(wanted)
            hello = b"R" + struct.pack("!II", 8, 0) + b"".join(self._greeting)
            client.sendall(hello + b"K" + struct.pack("!III", 12, 4_000_001, 7) + b"Z\0\0\0\5I")
            if self._mode != "session":
                self._give(server)
                self._lend(client, wanted)
            else:
                while self._relay(client, server) is not None:
                    pass

    def _lend(self, client: socket.socket, wanted: dict[bytes, bytes]) -> None:
        while True:
            first = _message(client)
            if first[:1] == b"X":
                return
            server = self._take(wanted)
            state = self._relay(client, server, first)
            while state not in (b"I", None) and self._mode != "statement":
                state = self._relay(client, server)
            if state == b"I":
                self._give(server)
                continue
            server.close()  # the client left in the middle, or began a transaction by statement
            said = b"SERROR\0C08P01\0Mtransaction blocks not allowed in statement pooling mode\0\0"
            client.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)
            return

    def _relay(self, client: socket.socket, server: socket.socket, first: bytes = b"") -> bytes | None:
        """One round, up to the server's word that it is ready: its state, or None when the client left."""
        while True:
            message = first or _message(client)
            first = b""
            if message[:1] == b"X":
                return None
            server.sendall(message)
            if message[:1] in (b"S", b"Q"):
                break
        held = b""
        while True:
            answer = _message(server)
            if answer[:1] != b"Z":
                held += answer
                continue
            if self._mode != "statement" or answer[5:] == b"I":
                client.sendall(held + answer)
            return answer[5:]

    def _take(self, wanted: dict[bytes, bytes]) -> socket.socket:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        server = socket.create_connection(("127.0.0.1", self._server))
        self._open.append(server)
        words = b"".join(name + b"\0" + value + b"\0" for name, value in wanted.items()) + b"\0"
        server.sendall(struct.pack("!II", len(words) + 8, 196608) + words)
        greeting = []
        while (message := _message(server))[:1] != b"Z":
            if message[:1] == b"S":
                greeting.append(message)
        self._greeting = greeting
        return server

    def _give(self, server: socket.socket) -> None:
        with self._lock:
            self._idle.append(server)


def _message(peer: socket.socket) -> bytes:
    head = _exactly(peer, 5)
    return head + _exactly(peer, struct.unpack("!I", head[1:])[0] - 4)


def _exactly(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = peer.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found
