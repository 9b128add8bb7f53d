"""What one mounted page knows: an app or a store, who may come in, and how it is called."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..app.app import App
from ..app.task import Task
from ..engines.contract import Engine
from ..engines.reading import LIMIT_S, Reader, open_reader
from ..engines.urls import open_engine
from ..model.operators import Operator
from ..model.redaction import DENIED, Redactor
from ..model.verdict import Verdict
from ..supervise.verdict import verdict
from ..worker.masking import secrets_of
from .guard import FormTokens

logger = logging.getLogger("dutiful.web")

Authorize = Callable[[Any], "Operator | Awaitable[Operator | None] | None"]
"""Says who sends a request (the framework's own request object), or None for nobody."""

Rule = Callable[[str, tuple[str, ...]], bool | None]

VERDICT_S = 3.0
COLOURS = ("red", "amber", "green", "blue", "grey")


class Site:
    """The page of one app. Reads go by connections that cannot write; what people do, by ``engine``."""

    def __init__(
        self,
        app: App | None,
        *,
        engine: Engine | None = None,
        name: str | None = None,
        authorize: Authorize | None = None,
        readonly: bool = False,
        environment: str = "",
        colour: str = "",
        links: Sequence[tuple[str, str]] = (),
        hosts: Sequence[str] | None = None,
        redact: Rule | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        if app is not None:
            engine, name = app.engine, app.name
        assert engine is not None and name is not None
        self.app = app
        self.name = name
        self.engine = engine
        self.authorize = authorize
        self.readonly = readonly
        self.environment = environment
        self.colour = colour if colour in COLOURS else _colour_of(environment)
        self.links = [(label, address) for label, address in links if _safe(address)]
        self.hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self.reader: Reader = open_reader(engine, limit_s=limit_s)
        self.tokens = FormTokens()
        self._judging = threading.Lock()
        self._verdict: Verdict | None = None
        self._judged_at = 0.0
        self.way_in = ""
        """What somebody is told who is not known."""
        self.signs_out = False
        """Whether there is a session to end: where the page stands alone."""
        tasks: Mapping[str, Task[..., Any]] = {} if app is None else app.tasks
        self.tasks = dict(tasks)
        marked = {one: secrets_of(task) for one, task in self.tasks.items()}
        for task in self.tasks.values():
            for alias in task.policy.aliases:
                self.tasks.setdefault(alias, task)
                marked[alias] = marked[task.name]
        self.redactor = Redactor(marked, DENIED, redact)

    @classmethod
    def of_store(cls, url: str, name: str, **settings: Any) -> Site:
        """The page of a store whose app's code is not here."""
        return cls(None, engine=open_engine(url), name=name, **settings)

    def verdict(self) -> Verdict:
        """The verdict, at most ``VERDICT_S`` old, looked for by one request at a time. Never raises."""
        with self._judging:
            now = time.monotonic()
            if self._verdict is None or now - self._judged_at >= VERDICT_S:
                self._verdict = verdict(self.reader, self.name)
                self._judged_at = time.monotonic()
            return self._verdict

    def close(self) -> None:
        """Close the connections for reading; the engine is its owner's."""
        self.reader.close()


def _colour_of(environment: str) -> str:
    return "red" if environment.lower().startswith("prod") else "grey"


def _safe(address: str) -> bool:
    """A link of the owner's: only to the web, never a script."""
    return address.startswith(("https://", "http://", "/"))
