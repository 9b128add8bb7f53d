"""S4: what a worker logs of an error does not hold what is secret in the job's arguments."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import pytest

import dutiful
from dutiful.model.ids import make_id
from dutiful.model.jobs import NewJob
from dutiful.model.redaction import Secret
from dutiful.operations import enqueue
from dutiful.testing import run_all
from dutiful.worker import run

CARD, PASSWORD = "4111-secret-card", "hunter2-is-secret"


def log_of(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that is logged while jobs fail whose errors say what they were given."""
    app = dutiful.App("shop", f"sqlite:///{folder / 'shop.db'}")

    def charge(card: Annotated[str, Secret], password: str, order: int) -> None:
        raise ValueError(f"card {card} of order {order} declined, {password}")

    def cause(error: BaseException) -> str:
        raise RuntimeError(f"no fingerprint of {error}")

    app.task(name="again", retry=3)(charge)
    app.task(name="dead", retry=0, fingerprint=cause)(charge)
    for name in ("again", "dead"):
        app.tasks[name].enqueue(CARD, PASSWORD, 8812)
    large = b'{"card":"' + CARD.encode() + b'","password":"p","order":1,"blob":"' + b"x" * 70_000 + b'"}'
    app.engine.run(
        enqueue.one("shop", NewJob(id=make_id(), task="dead", queue="default", priority=0, args=large))
    )
    with caplog.at_level(logging.DEBUG):
        run_all(app)
    app.close()
    return caplog.text + " ".join(str(vars(record)) for record in caplog.records)


def test_s4_the_log_tells_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = log_of(tmp_path, caplog)
    for event in ("job_failed", "job_buried", "fingerprint_failed"):
        assert event in text
    assert "of order 8812 declined" in text and "•••• redacted" in text
    assert CARD not in text and PASSWORD not in text


def test_s4_without_the_mask_it_would(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "said", lambda task, lease, error: repr(error))
    text = log_of(tmp_path, caplog)
    assert CARD in text and PASSWORD in text
