"""A process that ends with the one that started it, however that one ended."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_S = 1.0


def end_with(parent: int) -> None:
    """Be told to stop (SIGTERM) as soon as the process with this number is not our parent any more."""

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="dutiful-parent", daemon=True).start()
