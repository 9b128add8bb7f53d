"""The command line: faces over the same operations; data on stdout, talk on stderr, exit codes fixed."""

from __future__ import annotations


def main() -> int:
    """What the ``dutiful`` program does; returns its exit code."""
    from .root import run

    return run()
