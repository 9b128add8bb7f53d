"""A baseline: the findings that were there when the check was taken in, so that only new ones fail."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from .findings import Finding

SCHEMA = "dutiful/check.baseline/1"


class BadBaseline(ValueError):
    """The file is no baseline; the message says why."""


def _key(one: Finding) -> tuple[str, str, str]:
    """A line that moves stays the same: its number is no part of the key."""
    return one.rule, one.task or one.path, one.source


def write(path: Path, findings: list[Finding]) -> None:
    """Keep these findings."""
    counts = Counter(_key(one) for one in findings)
    rows = [
        {"rule": rule, "where": where, "source": source, "count": count}
        for (rule, where, source), count in sorted(counts.items())
    ]
    document = {"schema": SCHEMA, "findings": rows}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def without(path: Path, findings: list[Finding]) -> tuple[list[Finding], int]:
    """The findings that are not in the baseline, and how many are. Raises BadBaseline."""
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise BadBaseline(f"{path}: its schema is {document['schema']!r}, not {SCHEMA!r}.")
        left = Counter(
            {(one["rule"], one["where"], one["source"]): int(one["count"]) for one in document["findings"]}
        )
    except BadBaseline:
        raise
    except FileNotFoundError:
        raise BadBaseline(f"There is no baseline {path}. Write one: --write-baseline {path}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadBaseline(f"{path} is no baseline of dutiful check: {error}") from error
    new = []
    for one in findings:
        if left[_key(one)] > 0:
            left[_key(one)] -= 1
        else:
            new.append(one)
    return new, len(findings) - len(new)
