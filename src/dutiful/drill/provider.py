"""The simulated world outside: it takes every call that a body makes, and keeps what that did there.

A call that changes something is an *effect*. With an idempotency key it is applied once per key, as payment
providers do; without one it is applied each time. PUT and DELETE set a state, GET and HEAD change nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from .boundaries import Fault, Place, track

SAFE = ("GET", "HEAD", "OPTIONS")
STATES = ("PUT", "DELETE")
KEYS = ("idempotency-key", "x-idempotency-key", "x-request-id", "idempotency_key", "client_token")


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the other side sees it; ``body`` is text that is the same for the same content."""

    method: str
    url: str
    body: str
    key: str | None

    @property
    def name(self) -> str:
        """Where it goes, for people."""
        return f"{self.method} {self.url}"

    @property
    def shown(self) -> str:
        """The call in a few words."""
        return f"{self.name} {self.body[:60]}".rstrip()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side says."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)


class Lost(Exception):
    """No answer comes: whether it was applied, the caller does not learn. Shims raise their library's own."""


Answers = Mapping[str, Any] | Callable[[Call, "Provider"], Any] | None


@dataclass
class Provider:
    """All third parties of one scenario. ``answers`` says what they reply: by "METHOD url", or a function."""

    answers: Answers = None
    applied: list[Call] = field(default_factory=list)
    """The effects, in the order in which they took place."""
    calls: int = 0
    clashes: list[Call] = field(default_factory=list)
    """Calls with a key that was known with another body."""
    keyed: dict[str, tuple[Call, Answer]] = field(default_factory=dict)
    changed: Callable[[], None] | None = None

    def forget(self) -> None:
        """The time for which keys are remembered is over."""
        self.keyed.clear()

    def ask(self, call: Call) -> Answer:
        """One call from a body: a boundary, then the answer or the fault that is planned. Raises Lost."""
        one = track()
        fault: Fault | None = None
        if one is not None:
            fault = one.at("call", call.name if call.method != "MAIL" else f"mail to {call.url}")
            if one.crashed:
                raise AssertionError("a run that was cut off goes on")
        self.calls += 1
        if fault is None:
            return self._apply(call)
        if fault in ("timeout_applied", "lost_applied", "forgotten"):
            self._apply(call)
            raise Lost
        if fault == "500_applied":
            self._apply(call)
            return Answer(500, b'{"error": "internal"}')
        if fault == "429":
            return Answer(429, b'{"error": "too many requests"}', (("retry-after", "1"),))
        raise Lost

    def _apply(self, call: Call) -> Answer:
        known = self.keyed.get(call.key) if call.key is not None else None
        if known is not None and call.method not in SAFE:
            if known[0].body != call.body or known[0].name != call.name:
                self.clashes.append(call)
                self._tell()
                return Answer(409, b'{"error": "this key was used for another request"}')
            return known[1]
        if call.method not in SAFE and not (call.method in STATES and call in self.applied[-1:]):
            self.applied.append(call)
        answer = self._answer(call)
        if call.key is not None and call.method not in SAFE:
            self.keyed[call.key] = (call, answer)
        self._tell()
        return answer

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()

    def _answer(self, call: Call) -> Answer:
        found: Any = None
        if callable(self.answers):
            found = self.answers(call, self)
        elif self.answers is not None:
            found = self.answers.get(call.name, self.answers.get(call.name.partition("?")[0]))
        if isinstance(found, Answer):
            return found
        if found is None:
            seed = call.key if call.key is not None else str(len(self.applied))
            name = hashlib.sha256(f"{call.name} {seed}".encode()).hexdigest()[:12]
            found = {"id": f"drill_{name}", "status": "succeeded"}
        return Answer(200, json.dumps(found).encode())


def http_call(method: str, url: str, headers: Mapping[str, Any], body: bytes | str | None) -> Call:
    """A call of HTTP, with its key from the usual headers or fields."""
    given = {str(k).lower(): v.decode() if isinstance(v, bytes) else str(v) for k, v in headers.items()}
    raw = body.encode() if isinstance(body, str) else body or b""
    text, fields = raw.decode("utf-8", "replace"), {}
    try:
        parsed = json.loads(text) if text[:1] in "{[" and text else None
    except ValueError:
        parsed = None
    if parsed is not None:
        text, fields = json.dumps(parsed, sort_keys=True), parsed if isinstance(parsed, dict) else {}
    elif "x-www-form-urlencoded" in given.get("content-type", ""):
        fields = dict(parse_qsl(text))
    key = next((v for name in KEYS if (v := given.get(name) or fields.get(name))), None)
    if "idempotency_key" in fields and parsed is not None:
        text = json.dumps({k: v for k, v in fields.items() if k != "idempotency_key"}, sort_keys=True)
    return Call(method.upper(), url, text, None if key is None else str(key))


def place_of(call_place: Place | None) -> str:
    """Where a call was written."""
    return str(call_place) if call_place is not None else "?"
