"""A bar on stderr for long work, where a person looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .session import Session

Show = Callable[[int, str], None]
"""Is told how much is done, and what else there is to say."""


@contextmanager
def bar(session: Session, title: str, total: int | None) -> Iterator[Show]:
    """The bar; nothing where nobody looks, or rich is not installed. ``total``: None if nobody knows it."""
    if not session.printer.rich or session.quiet:
        yield lambda done, said: None
        return
    try:
        from .rich_tables import progress
    except ImportError:
        yield lambda done, said: None
        return
    with progress(title, total) as shown:
        only = shown.task_ids[0]

        def show(done: int, said: str) -> None:
            shown.update(only, completed=done, refused=said)

        yield show
