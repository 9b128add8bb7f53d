"""The ledger by itself, for databases that hold no jobs: is it there, and make it."""

from __future__ import annotations

from collections.abc import Sequence

from .plan import Call, Steps, operation, query


@query
def here() -> Steps[bool]:
    """Whether the ledger is there, with all that belongs to it."""
    return bool((yield Call("look_at_ledger", alone=True))[0][0])


@operation
def make(parts: Sequence[Call]) -> Steps[bool]:
    """Make what is missing of it, and look; ``parts`` are one engine's. Harmless where all is there."""
    for part in parts:  # noqa: UP028 (a sequence takes no rows)
        yield part
    return bool((yield Call("look_at_ledger"))[0][0])
