"""Start the exploration: ``./dev model``, or ``python -m tests.protocol``."""

import sys

from tests.protocol.report import main

if __name__ == "__main__":
    sys.exit(main())
