"""A bank behind HTTP, where the demonstration's is not: so that lane C's task can be drilled by itself."""

from __future__ import annotations

import json
from pathlib import Path

from .bank import BUSY_S, Bank

CHARGES = "https://bank.example/charges"
"""Nobody is there: only a drill's provider answers for it."""


class RemoteBank:
    """It keeps one charge for a key as well."""

    def charge(self, lane: str, order_id: str, cents: int, currency: str, *, key: str | None = None) -> int:
        """Take the money; returns the number of the charge."""
        import urllib.request  # not in the demonstration, where it would only cost time

        body = json.dumps({"order_id": order_id, "cents": cents, "currency": currency}).encode()
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        request = urllib.request.Request(CHARGES, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=BUSY_S) as answer:
            return len(answer.read())


def bank_at(path: Path, *, call_s: float) -> Bank | RemoteBank:
    """The demonstration's bank where its records are; elsewhere one behind HTTP."""
    return Bank(path, call_s=call_s) if path.exists() else RemoteBank()
