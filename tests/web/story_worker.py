"""A worker for the story on call: the real one, that looks at everything every two seconds."""

from __future__ import annotations

import sys
from typing import Any

from dutiful.cli.root import run
from dutiful.worker import bookkeeping, chores, watching

LOOK_S = 2.0


def main() -> int:
    """``python -m tests.web.story_worker MODULE:APP``."""
    hurried: Any = watching.Watching.__init__
    hurried.__defaults__ = (None, LOOK_S)[-len(hurried.__defaults__) :]
    for module, names in ((bookkeeping, ("FOLD_S", "IDLE_S")), (chores, ("PROVE_S", "VERIFY_S", "MEND_S"))):
        for name in names:
            assert hasattr(module, name)
            setattr(module, name, LOOK_S)
    return run(["worker", sys.argv[1], "--lease", "10s"])


if __name__ == "__main__":
    sys.exit(main())
