"""The tasks of each job system are found, and it is known whether their bodies may run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dutiful.check.sources import Project
from dutiful.check.systems import find_tasks

F = "def f(i):\n    pass\n"
CELERY = "from celery import Celery, shared_task\napp = Celery('x')\n\n"
ARQ = "async def f(ctx, i):\n    pass\n\nclass WorkerSettings:\n    functions = [f]\n    {}\n"


@pytest.mark.parametrize(
    ("code", "system", "again"),
    [
        (f"{CELERY}@app.task\n{F}", "celery", False),
        (f"{CELERY}@app.task(acks_late=True)\n{F}", "celery", True),
        (f"{CELERY}app.conf.task_acks_late = True\n\n@shared_task\n{F}", "celery", True),
        (f"{CELERY}@shared_task(autoretry_for=(ValueError,))\n{F}", "celery", True),
        (f"{CELERY}@shared_task(autoretry_for=(ValueError,), max_retries=0)\n{F}", "celery", False),
        (f"{CELERY}@app.task(bind=True)\ndef f(self, i):\n    self.retry()\n", "celery", True),
        (f"from rq.decorators import job\n\n@job('mail')\n{F}", "rq", False),
        (f"import rq\n{F}\ndef g(queue):\n    queue.enqueue(f, 1)\n", "rq", False),
        (f"import rq\n{F}\ndef g(queue):\n    queue.enqueue(f, 1, retry=rq.Retry(max=3))\n", "rq", True),
        (f"import dramatiq\n\n@dramatiq.actor\n{F}", "dramatiq", True),
        (f"from huey import RedisHuey\nh = RedisHuey()\n\n@h.task()\n{F}", "huey", False),
        (f"from huey.contrib.djhuey import db_task\n\n@db_task(retries=2)\n{F}", "huey", True),
        (ARQ.format("on_startup = None"), "arq", True),
        (f"from django.tasks import task\n\n@task()\n{F}", "django", False),
        (f"from dutiful import App\napp = App('x', 'sqlite://')\n\n@app.task()\n{F}", "dutiful", True),
    ],
)
def test_a_task_is_found(code: str, system: str, again: bool, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(code)
    [task] = find_tasks(Project((tmp_path,)))
    assert (task.system, task.name, bool(task.again)) == (system, "jobs.f", again)
    assert [one.arg for one in task.parameters] == ["i"]


def test_an_app_is_followed_through_the_modules_of_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .worker import celery as app\n")
    (folder / "worker.py").write_text("from celery import Celery\n\ncelery = Celery('shop')\n")
    (folder / "mail.py").write_text(f"from shop import app\n\n@app.task\n{F}")
    assert [(one.name, one.system) for one in find_tasks(Project((tmp_path,)))] == [("shop.mail.f", "celery")]


def test_what_only_looks_like_a_task_is_none(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(f"from menu import app\n\n@app.task\n{F}\n@job\n{F}")
    assert find_tasks(Project((tmp_path,))) == []
