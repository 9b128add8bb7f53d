"""The whole corpus, imported."""

from tests.drill.corpus import (
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
    "apsw_tasks",
    "asyncpg_tasks",
    "bugs_calls",
    "bugs_sqlite",
    "django_tasks",
    "postgres",
    "right",
]
