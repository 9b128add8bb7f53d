"""Words that go with a count."""

from __future__ import annotations


def jobs(count: int) -> str:
    """For this count."""
    return "1 job" if count == 1 else f"{count:,} jobs"


def have(count: int) -> str:
    """For this count."""
    return "has" if count == 1 else "have"


def are(count: int) -> str:
    """For this count."""
    return "is" if count == 1 else "are"


def stand(count: int) -> str:
    """For this count."""
    return "stands" if count == 1 else "stand"


def them(count: int) -> str:
    """For this count."""
    return "it" if count == 1 else "them"


def their(count: int) -> str:
    """For this count."""
    return "its" if count == 1 else "their"


def plural(count: int, word: str) -> str:
    """For this count."""
    return word if count == 1 else f"{word}s"
