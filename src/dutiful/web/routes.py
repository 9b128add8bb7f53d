"""Every address of the page, in one table: the router, the navigation and the tests are made from it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from .asking import Ask
from .screens import charts, drilled, home, job, jobs, machinery, proof, reconcile, record, settings, tasks


class Screen(Struct, frozen=True):
    """A page that shows something, with its ``.json`` twin. ``key`` is the letter behind ``g``."""

    name: str
    path: str
    title: str
    view: Callable[[Ask], object]
    needs: str = "view"
    group: str = ""
    """Under which heading it stands in the navigation; none: it is reached by links."""
    key: str = ""
    template: str = ""
    """If it is not named like the screen."""
    narrow: bool = False
    """Whether somebody who is held to some queues and tasks sees it, with only these."""


SCREENS: tuple[Screen, ...] = (
    Screen("home", "/", "Home", home.home, group="Watch", key="h"),
    Screen("attention", "/attention", "Attention", record.attention_list, group="Watch", key="a"),
    Screen("metrics", "/charts", "Metrics", charts.charts, group="Watch", key="m"),
    Screen("dead", "/dead", "Dead", jobs.dead, group="Jobs", key="d", narrow=True),
    Screen("dead_jobs", "/dead/jobs", "Dead jobs", jobs.dead_jobs, template="dead", narrow=True),
    Screen("jobs", "/jobs", "All jobs", jobs.all_jobs, group="Jobs", key="j", narrow=True),
    Screen("bulk", "/bulk", "Bulk work", record.bulk_list, group="Jobs", key="b"),
    Screen("one_bulk", "/bulk/{id}", "Bulk work", record.one_bulk, template="bulk"),
    Screen("job", "/jobs/{id}", "Job", job.job, narrow=True),
    Screen("queues", "/queues", "Queues", machinery.queues, group="Machinery", key="q", narrow=True),
    Screen("queue", "/queues/{name}", "Queue", machinery.queue, template="queues", narrow=True),
    Screen("schedule", "/schedule", "Schedule", machinery.schedule_list, group="Machinery", key="s"),
    Screen("one_schedule", "/schedule/{name}", "Schedule", machinery.one_schedule, template="schedule"),
    Screen("workers", "/workers", "Workers", machinery.workers, group="Machinery", key="w"),
    Screen("limits", "/locks", "Locks & limits", machinery.limits, group="Machinery", key="l"),
    Screen("audit", "/audit", "Audit", record.audit_list, group="Record", key="u"),
    Screen("alerts", "/alerts", "Alerts & settings", settings.alert_page, group="Record", key=","),
    Screen("effects", "/doubts", "Effects & doubts", proof.doubt_list, group="Proof", key="e"),
    Screen("reconcile", "/reconcile", "Reconcile", reconcile.reconcile_list, group="Proof", key="r"),
    Screen("one_reconcile", "/reconcile/{name}", "Reconcile", reconcile.one_reconcile),
    Screen("tasks", "/tasks", "Tasks", tasks.task_list, group="Proof", key="k"),
    Screen("drills", "/drills", "Drills", drilled.drill_list, group="Proof", key="i"),
    Screen("one_task", "/tasks/{name:path}", "Task", tasks.one_task, template="task"),
)
