"""``python -m dutiful.cli`` is the ``dutiful`` program, where the latter is not on the PATH."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
