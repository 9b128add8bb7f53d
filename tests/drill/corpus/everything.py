"""The whole corpus, imported."""

from tests.drill.corpus import (
    aiohttp_tasks,
    apsw_tasks,
    asyncpg_tasks,
    bugs_calls,
    bugs_sqlite,
    django_tasks,
    postgres,
    right,
)
from tests.drill.corpus.shop import BUGS, RIGHT

__all__ = [
    "BUGS",
    "RIGHT",
    "aiohttp_tasks",
    "apsw_tasks",
    "asyncpg_tasks",
    "bugs_calls",
    "bugs_sqlite",
    "django_tasks",
    "postgres",
    "right",
]
