"""``--health PORT``: two answers for whoever supervises processes, /live and /ready."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import msgspec

from ..model.errors import InvalidOption

if TYPE_CHECKING:
    from .worker import Worker


def serve_health(worker: Worker, port: int, host: str = "0.0.0.0") -> ThreadingHTTPServer:
    """Answer on ``port`` from a thread. Raises InvalidOption where the port cannot be had.

    ``/live`` is 200 while the worker's lease is trusted (503: a beat is overdue, restart may help);
    ``/ready`` is 200 while it claims (503 while it drains).
    """

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state = worker.health()
            good = {"/live": state["trusted"], "/ready": state["claiming"]}.get(self.path)
            body = msgspec.json.encode(state if good is not None else {"paths": ["/live", "/ready"]})
            self.send_response(404 if good is None else 200 if good else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        server = ThreadingHTTPServer((host, port), Answer)
    except OSError as error:
        raise InvalidOption(f"--health {port}: the port cannot be had ({error}).") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="dutiful-health", daemon=True).start()
    return server
