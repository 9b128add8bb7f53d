"""The whole corpus, imported."""

from tests.drill.corpus import bugs_calls, bugs_sqlite, postgres, right
from tests.drill.corpus.shop import BUGS, RIGHT

__all__ = ["BUGS", "RIGHT", "bugs_calls", "bugs_sqlite", "postgres", "right"]
