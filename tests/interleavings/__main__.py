"""``python -m tests.interleavings``, which is ``./dev interleave``."""

from __future__ import annotations

import sys

from tests.interleavings.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
