"""An app of schedules only, for worker processes that are killed."""

from __future__ import annotations

import os

from dutiful import App
from tests.processes.support.jobs import note

app = App("tests", os.environ.get("DUTIFUL_TEST_URL", "sqlite://"))


@app.schedule(every="1s", name="second", args={"name": "second"})
@app.schedule("*/2 * * * * *", tz="Europe/Vienna", name="other", args={"name": "other"})
@app.task()
def ring(name: str) -> None:
    note("ring", name)
