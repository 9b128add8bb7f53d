"""Which of the imported source files changed since a snapshot: for reloading in development."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig

_SKIPPED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def snapshot() -> dict[str, int]:
    """The change times of all imported source files outside installed packages, in nanoseconds."""
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.endswith(".py") and not path.startswith(_SKIPPED):
            with contextlib.suppress(OSError):
                found[path] = os.stat(path).st_mtime_ns
    return found


def changed_files(before: dict[str, int]) -> list[str]:
    """Files of ``before`` that changed or vanished; files imported since are added to ``before``."""
    now = snapshot()
    changed = [path for path, at in before.items() if now.get(path) != at]
    for path, at in now.items():
        before.setdefault(path, at)
    return changed
