"""Where a tracing library is told of an enqueue; without one, a look at a variable is all that it costs."""

from __future__ import annotations

from collections.abc import Callable

context: Callable[[], str | None] | None = None
"""Gives the ``traceparent`` of the active span. Set by :mod:`dutiful.integrations.opentelemetry`."""


def current() -> str | None:
    """The span in which this code runs, if somebody traces."""
    return None if context is None else context()
