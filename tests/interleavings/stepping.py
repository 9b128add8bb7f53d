"""Sessions of a real PostgreSQL that go forward one statement at a time, in an order that is given.

A session is a greenlet that runs the product's own code on a connection of its own. Each time psycopg
is about to talk to the server the session stops, and the stepper says who goes on. A session that waits
for a lock is left waiting, and goes on by itself when the lock is free, as it would in life.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from greenlet import getcurrent, greenlet

from dutiful.engines.drive import drive
from dutiful.engines.lean import Lean, WorkConnection
from dutiful.engines.postgres import SESSION, PostgresEngine
from dutiful.engines.postgres_errors import is_rerun, translated
from dutiful.engines.postgres_transactions import OwnTransaction, adapt, lasting
from dutiful.engines.work_postgres import PostgresWork
from dutiful.operations.plan import Operation
from dutiful.sql import statements
from dutiful.sql.render import render
from tests.interleavings.lean import SteppedLean

LOOK_S = 0.002
"""So long an answer is awaited before it is asked whether the session waits for a lock."""
PATIENCE_S = 30.0
RERUNS_MAX = 20
DEADLOCK_TIMEOUT = "20ms"

# Nothing is seen or kept by these, so that nothing depends on when they come.
NO_STEPS = ("BEGIN", "ROLLBACK", "SELECT pg_catalog.set_config", "SET ")

BLOCKS = {"_enter_gen": "BEGIN", "_exit_gen": "COMMIT", "_rollback_gen": "ROLLBACK"}

Act = Callable[["Session"], Any]
Choose = Callable[[Sequence[int], int | None], int]
"""Whose turn it is: of these sessions that can go on, the last one being named."""


class Stuck(AssertionError):
    """A session does not come back."""


class SteppedConnection(WorkConnection):
    """A connection whose exchanges with the server are steps of its session."""

    session: Session | None = None
    label = ""

    @property
    def lean(self) -> Lean:
        """The real one's statements, which are steps as well."""
        if self._lean is None:
            self._lean = SteppedLean(self, self._exchange)
        return self._lean

    def _exchange(self, text: str, gen: Any) -> Any:
        self.label = _name(text)
        return self.wait(gen)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        session = self.session
        if session is None or getcurrent() is not session.fiber:
            return super().wait(gen, interval)
        block = getattr(gen, "__name__", "")  # psycopg's transaction blocks execute no cursor
        if block in BLOCKS:
            self.label = BLOCKS[block]
        if not self.label.startswith(NO_STEPS):
            session.park("ready")
        session.said.append(self.label)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(session.ready(self.pgconn.socket, wanted))
        except StopIteration as end:
            return end.value


class SteppedCursor(psycopg.RawCursor[Any]):
    """Tells its connection what is executed."""

    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        self.connection.label = _name(query)  # type: ignore[attr-defined]
        return super().execute(query, params, **more)


class PlainCursor(psycopg.Cursor[Any]):
    """The same for callers, who write %s."""

    def execute(self, query: Any, params: Any = None, **more: Any) -> Any:
        self.connection.label = _name(query)  # type: ignore[attr-defined]
        return super().execute(query, params, **more)


class SteppedEngine(PostgresEngine):
    """The real engine, each operation in a transaction of its own, also one of a single statement.

    (The server holds a statement's locks until its commit is done, for as long as a disk may take.)
    """

    connection: SteppedConnection
    reruns = 0

    def run(self, operation: Operation[Any]) -> Any:
        for _ in range(RERUNS_MAX):
            transaction = OwnTransaction(self.connection, self.clock, operation.reads)
            try:
                with lasting(self.connection, operation.durable):
                    return drive(operation, transaction, self.observe, begin_always=not operation.reads)
            except psycopg.Error as error:
                if not is_rerun(error):
                    raise translated(error, self.shown) from error
                self.reruns += 1
        raise Stuck(f"{operation.name} was begun {RERUNS_MAX} times")

    def work(self, *, elsewhere: bool = False) -> PostgresWork:
        """The real one, on a stepped connection."""
        return PostgresWork(self, self)  # type: ignore[arg-type]

    def take(self) -> Any:
        """A connection for a body; there is one a session."""
        return self.lent

    lent: SteppedConnection

    def give_back(self, connection: Any) -> None:
        """It stays this session's."""

    def wake(self, queue: str) -> None:
        """Nobody sleeps."""


class Session:
    """One session: its connections, its engine, and how far it is."""

    def __init__(self, stepper: Stepper, number: int) -> None:
        self.stepper = stepper
        self.number = number
        self.engine = SteppedEngine(stepper.url, clock=stepper.clock)
        self.engine.connection = self._connect(SteppedCursor)
        self.engine.lent = self.lent = self._connect(PlainCursor)
        self.fiber: greenlet | None = None
        self.state = "done"
        self.said: list[str] = []
        self.result: Any = None
        self.error: BaseException | None = None

    def _connect(self, cursor: Any) -> SteppedConnection:
        settings = {**(SESSION if cursor is SteppedCursor else {}), "deadlock_timeout": DEADLOCK_TIMEOUT}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        connection = SteppedConnection.connect(
            self.stepper.url, autocommit=True, prepare_threshold=0, cursor_factory=cursor, options=options
        )
        adapt(connection)
        return connection

    def begin(self, act: Act) -> None:
        """Go as far as the first step."""
        self.said, self.result, self.error = [], None, None
        self.engine.reruns = 0
        for connection in (self.engine.connection, self.lent):
            connection.session = self

        def work() -> None:
            try:
                self.result = act(self)
            except Exception as error:
                self.error = error
            self.state = "done"

        self.fiber = greenlet(work)
        self.state = "new"
        self.fiber.switch()

    def park(self, state: str) -> None:
        """Stop here until the stepper says to go on."""
        self.state = state
        assert self.fiber is not None and self.fiber.parent is not None
        self.fiber.parent.switch()

    def go_on(self) -> None:
        """One step."""
        assert self.fiber is not None
        self.state = "going"
        self.fiber.switch()

    def ready(self, socket: int, wanted: Any) -> int:
        """Wait for the server; parked while a lock keeps it."""
        until = time.monotonic() + PATIENCE_S
        self.socket = socket
        while True:
            readable, writable, _ = select.select(
                [socket] if wanted & 1 else [], [socket] if wanted & 2 else [], [], LOOK_S
            )
            if readable or writable:
                return (1 if readable else 0) | (2 if writable else 0)
            if self.stepper.blocked(self):
                self.park("blocked")
            elif time.monotonic() > until:
                raise Stuck(f"session {self.number} waits for {self.said[-1]}")

    def answered(self) -> bool:
        """Whether the server has answered one who was blocked."""
        return bool(select.select([self.socket], [], [], 0)[0])

    @property
    def pids(self) -> list[int]:
        return [self.engine.connection.info.backend_pid, self.lent.info.backend_pid]

    def close(self) -> None:
        for connection in (self.engine.connection, self.lent):
            connection.session = None
            connection.close()


@dataclass
class Point:
    """One choice: who could go on, who went last, and who went on."""

    enabled: tuple[int, ...]
    last: int | None
    chosen: int


@dataclass
class Course:
    """What came of one schedule."""

    points: list[Point] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    waits: int = 0

    @property
    def schedule(self) -> tuple[int, ...]:
        return tuple(point.chosen for point in self.points)


class Stepper:
    """Steps up to three sessions over one database."""

    def __init__(self, url: str, clock: Callable[[], int], sessions: int = 3) -> None:
        self.url = url
        self.clock = clock
        self._eye = psycopg.connect(url, autocommit=True)
        self.sessions = [Session(self, number) for number in range(sessions)]

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        self._eye.close()

    def blocked(self, session: Session) -> bool:
        """Whether the session waits for a lock."""
        text = "SELECT bool_or(cardinality(pg_blocking_pids(p)) > 0) FROM unnest(%s::int[]) AS p"
        row = self._eye.execute(text, (session.pids,)).fetchone()
        return bool(row and row[0])

    def run(self, acts: Sequence[Act], choose: Choose) -> Course:
        """Let each session carry out its act, in the order that is chosen step by step."""
        course = Course()
        random.seed(0)
        active = self.sessions[: len(acts)]
        for session, act in zip(active, acts, strict=True):
            session.begin(act)
        last: int | None = None
        while True:
            self._let_the_freed_go_on(active, course)
            enabled = tuple(session.number for session in active if session.state == "ready")
            if not enabled:
                if all(session.state == "done" for session in active):
                    return course
                self._until_somebody_is_answered(active, course)
                continue
            chosen = choose(enabled, last)
            course.points.append(Point(enabled, last, chosen))
            session = self.sessions[chosen]
            session.go_on()
            last = chosen
            self._tell(course, session)

    def _tell(self, course: Course, session: Session) -> None:
        waits = session.state == "blocked"
        course.waits += waits
        course.story.append(f"{session.number}: {session.said[-1]}{' … waits' if waits else ''}")

    def _let_the_freed_go_on(self, active: Sequence[Session], course: Course) -> None:
        for session in active:
            until = time.monotonic() + PATIENCE_S
            while session.state == "blocked":
                if session.answered():
                    self._answer(session, course)
                elif self.blocked(session):
                    break
                elif time.monotonic() > until:
                    raise Stuck(f"session {session.number} is neither blocked nor answered")
                else:
                    time.sleep(0.0002)

    def _until_somebody_is_answered(self, active: Sequence[Session], course: Course) -> None:
        """All wait for each other: until the server breaks the circle, or a wait is over."""
        waiting = {session.socket: session for session in active if session.state == "blocked"}
        found = select.select(list(waiting), [], [], PATIENCE_S)[0]
        if not found:
            raise Stuck(f"all wait: {[session.said[-1] for session in waiting.values()]}")
        self._answer(waiting[found[0]], course)

    def _answer(self, session: Session, course: Course) -> None:
        at = len(session.said) - 1
        session.go_on()
        course.story.append(f"{session.number}: {session.said[at]} … goes on")


def _name(query: Any) -> str:
    text = query.decode() if isinstance(query, bytes) else str(query)
    return _names().get(text) or text.strip().splitlines()[0][:40]


_known: dict[str, str] = {}


def _names() -> dict[str, str]:
    if not _known:
        for name in statements("postgres"):
            for own_now in (True, False):
                _known[render("postgres", name, "dollar", own_now).parts[0][0]] = name
    return _known
