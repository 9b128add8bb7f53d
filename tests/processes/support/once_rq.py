"""RQ in a burst: one job whose work horse is killed after the commit, and one that is enqueued once more."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue, Retry, Worker

from tests.processes.support import once_jobs


def charge_and_die(order_id: int) -> Any:
    """Kills its own process, the first time, when the charge is committed and RQ does not know it."""
    result = once_jobs.charge_once(order_id)
    once_jobs.note(result)
    flag = Path(os.environ["ONCE_LOG"] + ".died")
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def main() -> None:
    redis = Redis.from_url(os.environ["ONCE_BROKER"])
    queue = Queue(connection=redis)
    jobs = [queue.enqueue(charge_and_die, 7, retry=Retry(max=1)), queue.enqueue(once_jobs.charge_once, 7)]
    Worker([queue], connection=redis).work(burst=True)
    print(json.dumps([job.latest_result().return_value for job in jobs]))


if __name__ == "__main__":
    from tests.processes.support.once_rq import main as run  # as RQ's own process will import it

    run()
