"""Who asks for the work of lane C: every order is enqueued, and then every order once more.

The second requests come while the first ones are under way or done, as double clicks and repeated
webhooks do. Run as ``python -m dutiful.demo.producer``.
"""

from __future__ import annotations

import json
import os
import random
import time

from ..app.finding import find_app
from .places import Folder, this_folder

TELL_EVERY = 10


def main() -> None:
    """Enqueue all, then repeat all in another order; tells how many were stored and how many folded."""
    folder = this_folder()
    settings = folder.settings()
    app = find_app(settings.lane_c)
    [charge] = app.tasks.values()
    orders = json.loads(folder.orders.read_text())
    # A dead job gives its duty to whoever asks next, by design. So the order that will die is asked for
    # twice before it can: the second request would be a second job, and the retry of the first refused.
    poison = [order for order in orders if order["order_id"] == settings.poison]
    duplicates = [handle.duplicate for handle in app.enqueue_many(charge, orders + poison)]
    folder.write_placed(orders)
    _tell(folder, duplicates)
    others = [order for order in orders if order["order_id"] != settings.poison]
    random.Random(settings.seed).shuffle(others)
    for number, order in enumerate(others, 1):
        time.sleep(settings.repeat_s)
        if not settings.is_directed():
            return
        duplicates.append(charge.enqueue(**order).duplicate)
        if number % TELL_EVERY == 0 or number == len(others):
            _tell(folder, duplicates)
    app.close()


def _tell(folder: Folder, duplicates: list[bool]) -> None:
    draft = folder.requests.with_suffix(".draft")
    draft.write_text(json.dumps({"stored": duplicates.count(False), "folded": duplicates.count(True)}))
    os.rename(draft, folder.requests)


if __name__ == "__main__":
    main()
