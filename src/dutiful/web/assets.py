"""The page's own files: a handful, read once, sent whole with a lasting address.

Not Starlette's StaticFiles: it sends file paths, which some adapters lose; these are bytes.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from msgspec import Struct

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
NAMES = (
    "app.css",
    "app.js",
    "charts.js",
    "live-worker.js",
    "vendor/htmx.min.js",
    "vendor/hx-csp.min.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
)


class Asset(Struct, frozen=True):
    """One file; ``mark`` changes with its content, and is part of its address."""

    name: str
    body: bytes
    kind: str
    mark: str


@cache
def assets() -> dict[str, Asset]:
    """All of them by name."""
    found = {}
    for name in NAMES:
        body = (STATIC / name).read_bytes()
        mark = hashlib.sha256(body).hexdigest()[:12]
        found[name] = Asset(name, body, TYPES[Path(name).suffix], mark)
    return found


def address(name: str) -> str:
    """Where a page finds it, below the root: the mark lets browsers keep it for good."""
    return f"static/{assets()[name].mark}/{name}"
