"""The demonstration: three ways to charge the same orders, and workers killed while they do it.

``direct.py`` is the story from top to bottom; ``lane_c.py`` is what a user of dutiful would write,
``naive.py`` what lanes A and B do instead, ``bank.py`` the outside world that keeps the truth.
"""

from __future__ import annotations

from .options import DemoOptions, Wanted

__all__ = ["DemoOptions", "run"]


def run(options: Wanted) -> int:
    """Show it, and say whether it held: 0 if it did, 1 if not, 2 for bad input, 130 if interrupted.

    Raises InvalidOption for orders that cannot be read; nothing was started then.
    """
    from .direct import demonstrate

    return demonstrate(options)
