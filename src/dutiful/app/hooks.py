"""What a worker calls around its work: before its first job, after its last, and around each run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from .running import Run

F = TypeVar("F", bound=Callable[..., Any])


class Hooks:
    """The part of an App that knows them, in the order in which they were declared."""

    @cached_property
    def starters(self) -> list[Callable[[], Any]]:
        """Before the first job of a worker process."""
        return []

    @cached_property
    def stoppers(self) -> list[Callable[[], Any]]:
        """After its last."""
        return []

    @cached_property
    def wrappers(self) -> list[Callable[[Run], Any]]:
        """Around each run."""
        return []

    def on_start(self, function: F) -> F:
        """Call this function (plain or async) in every worker process before its first job."""
        self.starters.append(function)
        return function

    def on_stop(self, function: F) -> F:
        """Call this function (plain or async) in every worker process after its last job."""
        self.stoppers.append(function)
        return function

    def around(self, function: F) -> F:
        """Wrap every run: a generator function that yields once, given the :class:`Run`.

        What the body raises is raised at its ``yield``; it must not be swallowed there, for what is
        swallowed did not happen: it is raised again. Wrappers nest, the first declared outermost.
        """
        self.wrappers.append(function)
        return function
