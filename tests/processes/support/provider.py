"""The other side, in a process of its own: charges by HTTP, with idempotency keys that it forgets.

``python -m tests.processes.support.provider FOLDER --remember 8 --seed 7`` serves on loopback and writes its
port to ``FOLDER/port``. Every charge that is applied is a line of ``FOLDER/ledger``, every request one of
``FOLDER/calls``; both are only appended to. Faults come by chance, by the seed, as often as is said.

``POST /charges`` (key in ``Idempotency-Key``) applies once while the key is remembered, ``POST /plain`` each
time. ``GET /charges/KEY`` says what became of it: 200, 404, or 503 now and then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = ("ok", "refused", "busy", "applied_then_500", "applied_then_reset", "unapplied_then_silent")
ROOT = Path(__file__).parents[3]


class Books:
    """What is applied and what is remembered; one lock for all."""

    def __init__(self, folder: Path, remember_s: float, seed: int, rate: float) -> None:
        self.folder = folder
        self.remember_s = remember_s
        self.rate = rate
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, dict[str, object] | None]] = {}
        """Key → when it was first seen, and the answer (None while it is under way)."""
        self._applied: dict[str, list[dict[str, object]]] = {}
        """For lookups: every charge of a key, for ever."""
        appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._ledger = os.open(folder / "ledger", appending)
        self._calls = os.open(folder / "calls", appending)

    def fault(self) -> str:
        with self._lock:
            return self._chance.choice(FAULTS[1:]) if self._chance.random() < self.rate else "ok"

    def latency_s(self) -> float:
        with self._lock:
            return self._chance.uniform(0.0, 0.06)

    def unsure(self) -> bool:
        with self._lock:
            return self._chance.random() < self.rate / 4

    def note(self, **fields: object) -> None:
        os.write(self._calls, (json.dumps({"at": time.time(), **fields}) + "\n").encode())

    def begin(self, key: str) -> tuple[str, dict[str, object] | None]:
        """("new" | "known" | "under way" | "forgotten", the answer)."""
        with self._lock:
            now = time.monotonic()
            first, answer = self._known.get(key, (0.0, None))
            if key in self._known and now - first < self.remember_s:
                return ("known", answer) if answer is not None else ("under way", None)
            forgotten = key in self._known
            self._known[key] = (now, None)
            return ("forgotten" if forgotten else "new"), None

    def applied_before(self, key: str) -> int:
        with self._lock:
            return len(self._applied.get(key, ()))

    def apply(self, key: str, request: dict[str, object]) -> dict[str, object]:
        with self._lock:
            charges = self._applied.setdefault(key, [])
            charge: dict[str, object] = {"id": f"ch_{key[:8]}_{len(charges)}", "order": request.get("order")}
            charges.append(charge)
            if key in self._known:
                self._known[key] = (self._known[key][0], charge)
        line = {"at": time.time(), "key": key, "order": request.get("order")}
        os.write(self._ledger, (json.dumps(line) + "\n").encode())
        return charge

    def let_go(self, key: str) -> None:
        """Nothing was applied: the key is as if it had never come."""
        with self._lock:
            if key in self._known and self._known[key][1] is None:
                del self._known[key]

    def find(self, key: str) -> dict[str, object] | None:
        with self._lock:
            charges = self._applied.get(key, [])
            return charges[0] if charges else None


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    books: Books

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the books have it."""

    def do_GET(self) -> None:
        key = self.path.rpartition("/")[2]
        charge = self.books.find(key)
        if self.books.unsure():
            return self.answer(503, {})
        self.books.note(what="lookup", key=key, found=charge is not None)
        self.answer(200 if charge else 404, charge or {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        keyed = self.path == "/charges"
        books = self.books
        fault = books.fault()
        status, answer = books.begin(key) if keyed else ("new", None)
        books.note(
            what=self.path, key=key, order=request["order"], kind=request["kind"], fault=fault, status=status,
            applied_before=books.applied_before(key),
        )  # fmt: skip
        if status == "under way":
            return self.answer(409, {"error": "under way"})
        time.sleep(books.latency_s())
        unknown = status in ("new", "forgotten")
        if unknown and fault in ("refused", "busy", "unapplied_then_silent"):
            books.let_go(key)
        if fault == "refused":
            return self.answer(402, {"error": "declined"})
        if fault == "busy":
            return self.answer(429, {}, {"Retry-After": "0"})
        if fault == "unapplied_then_silent":
            if unknown:
                time.sleep(1.0)  # longer than any caller waits
                self.close_connection = True
                return None
            fault = "applied_then_reset"
        if answer is None:
            answer = books.apply(key, request)
        if fault == "applied_then_500":
            return self.answer(500, {"error": "oops"})
        if fault == "applied_then_reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return None
        time.sleep(books.latency_s())
        return self.answer(201, answer)

    def answer(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # the caller is gone

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass  # reset by us, or by a caller that was killed


class Server(ThreadingHTTPServer):
    """Says nothing about callers that are killed."""

    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Provider:
    """The tests' handle on a provider's process."""

    def __init__(self, folder: Path, *, remember_s: float, seed: int, rate: float) -> None:
        self.folder = folder
        folder.mkdir()
        command = [sys.executable, "-m", __name__, str(folder)]
        command += ["--remember", str(remember_s), "--seed", str(seed), "--rate", str(rate)]
        self.process = subprocess.Popen(command, cwd=ROOT)

    @property
    def ready(self) -> bool:
        assert self.process.poll() is None, "the provider ended"
        return (self.folder / "port").exists()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{(self.folder / 'port').read_text()}"

    def ledger(self) -> list[dict[str, object]]:
        return self._lines("ledger")

    def calls(self) -> list[dict[str, object]]:
        return self._lines("calls")

    def _lines(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    """The provider's process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--remember", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    options = parser.parse_args()
    Handler.books = Books(options.folder, options.remember, options.seed, options.rate)
    server = Server(("127.0.0.1", 0), Handler)
    draft = options.folder / "port.new"
    draft.write_text(str(server.server_address[1]))
    draft.rename(options.folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main()
