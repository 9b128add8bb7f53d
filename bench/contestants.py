"""Who takes part: a name, the class that measures it, and what must be installed for it.

Nothing is imported here but names, since a peer's module needs its package and its store's URL.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from bench.subject import Store, Subject

FLOOR, OURS = "floor", "ours"


@dataclass(frozen=True)
class Contestant:
    """``plays`` names the role in the table: ``floor``, ``ours`` or the peer's own name."""

    name: str
    plays: str
    store: Store
    where: str
    needs: tuple[str, ...] = field(default=())
    programs: tuple[str, ...] = field(default=())

    def available(self) -> bool:
        """Whether all modules and programs that it needs are installed; imports nothing."""
        return all(map(_found, self.needs)) and all(map(shutil.which, self.programs))

    def load(self) -> type[Subject]:
        """Its class; raises ImportError where a package is missing."""
        module, _, attribute = self.where.partition(":")
        loaded: type[Subject] = getattr(importlib.import_module(module), attribute)
        return loaded

    def settings(self) -> str:
        """How it is measured, as the head of its module says; imports nothing."""
        path = Path(__file__).parent.parent / (self.where.partition(":")[0].replace(".", "/") + ".py")
        return ast.get_docstring(ast.parse(path.read_text())) or ""

    @property
    def is_peer(self) -> bool:
        return self.plays not in (FLOOR, OURS)

    def measured_on(self, engine: str) -> bool:
        """Whether it stands in the table of ``engine``; Redis's clients in that of our server engine."""
        return self.store == engine or (self.store == "redis" and engine == "postgres")


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is missing
        return False


CONTESTANTS = (
    Contestant("floor-postgres", FLOOR, "postgres", "bench.floors.postgres:Floor", ("psycopg",)),
    Contestant("floor-sqlite", FLOOR, "sqlite", "bench.floors.sqlite:Floor"),
    Contestant(
        "ours-postgres",
        OURS,
        "postgres",
        "bench.ours:OnPostgres",
        ("dutiful.app", "dutiful.worker", "psycopg"),
    ),
    Contestant("ours-sqlite", OURS, "sqlite", "bench.ours:OnSqlite", ("dutiful.app", "dutiful.worker")),
    Contestant(
        "procrastinate",
        "procrastinate",
        "postgres",
        "bench.peers.procrastinate:Peer",
        ("procrastinate", "psycopg_pool"),
    ),
    Contestant("pgqueuer", "pgqueuer", "postgres", "bench.peers.pgqueuer:Peer", ("pgqueuer", "asyncpg")),
    Contestant("chancy", "chancy", "postgres", "bench.peers.chancy:Peer", ("chancy",)),
    Contestant("dbos", "dbos", "postgres", "bench.peers.dbos:Peer", ("dbos", "sqlalchemy")),
    Contestant("huey", "huey", "sqlite", "bench.peers.huey:Peer", ("huey",)),
    Contestant("huey_off", "huey_off", "sqlite", "bench.peers.huey_off:Peer", ("huey",)),
    Contestant("celery", "celery", "redis", "bench.peers.celery:Peer", ("celery", "redis")),
    Contestant("dramatiq", "dramatiq", "redis", "bench.peers.dramatiq:Peer", ("dramatiq", "redis")),
    Contestant("rq", "rq", "redis", "bench.peers.rq:Peer", ("rq", "redis")),
    Contestant("arq", "arq", "redis", "bench.peers.arq:Peer", ("arq", "redis")),
    Contestant("saq", "saq", "redis", "bench.peers.saq:Peer", ("saq", "orjson", "redis")),
    Contestant("taskiq", "taskiq", "redis", "bench.peers.taskiq:Peer", ("taskiq_redis", "orjson", "redis")),
    Contestant("sidekiq", "sidekiq", "redis", "bench.peers.sidekiq:Peer", ("redis",), ("ruby", "sidekiq")),
)

BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}
PEERS = tuple(contestant.name for contestant in CONTESTANTS if contestant.is_peer)
