"""What the doctor says of calls to the world outside in bodies: is each within its task's timeout?

Read by the checklist's eyes, not run: the body and what it calls, three calls deep. A limit that is no
number in the text (a setting, a client made elsewhere) is not seen, and the number of those is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..app.app import App
from ..check.outside import http_method
from ..check.reading import Call, has_stars, keyword
from ..check.registered import modules_of, with_registered
from ..check.sources import Project
from ..check.systems import find_tasks
from ..model.durations import text
from .notes import Note, bad, note, skipped, well

FOREVER = ["urllib.request.urlopen", "smtplib.SMTP", "smtplib.SMTP_SSL", "socket.create_connection"]
CLIENTS = ["httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"]
OURS = ["dutiful.effects.http.call", "dutiful.effects.http.acall"]
DEFAULT_S = 5.0
"""What httpx gives a request that says nothing."""
SECONDS = ["httpx.Timeout", "aiohttp.ClientTimeout"]


def calls(app: App) -> Iterator[Note]:
    """Compare the limit of each call with that of its task."""
    limits = {task.name: task.policy.timeout_us for task in app.tasks.values()}
    project = Project(modules_of(app))
    found = with_registered(app)(project, find_tasks(project))
    seen = silent = 0
    longer: list[str] = []
    for task in found:
        limit_us = limits.get(task.name)
        for call in task.calls:
            if not _outward(call):
                continue
            own = seconds(call)
            if own is None:
                silent += 1
                continue
            seen += 1
            if limit_us is not None and own * 1e6 >= limit_us:
                longer.append(
                    f"{task.name} calls at {call.scope.module.shown}:{call.node.lineno} with {own:g} s,"
                    f" and has {text(limit_us)} itself"
                )
    if unread := len(limits) - len({task.name for task in found} & set(limits)):
        yield skipped("calls", f"the text of {unread} tasks was not found.", "Their modules must be files.")
    if longer:
        yield bad(
            "calls",
            f"{'; '.join(longer[:3])}{f'; and {len(longer) - 3} more' if len(longer) > 3 else ''}.",
            "Give the call less time than the task: timeout= of the call, or of @app.task.",
        )
    if silent:
        yield note(
            "calls",
            f"{silent} of {seen + silent} calls show no limit here, in numbers.",
            "dutiful check --select DU024 names those that have none.",
        )
    if not longer and not unread and not silent:
        yield well(
            "calls", f"{seen} with a limit, each below its task's." if seen else "None is seen in the bodies."
        )


def _outward(call: Call) -> bool:
    return bool(http_method(call)) or call.name in (*FOREVER, *CLIENTS, *OURS)


def seconds(call: Call) -> float | None:
    """The limit of a call, where it stands there as a number (of several, the longest)."""
    if has_stars(call.node):
        return None
    given = keyword(call.node, "timeout")
    if given is None and call.name.startswith("httpx."):
        return DEFAULT_S
    if isinstance(given, ast.Call) and call.scope.meaning(given.func) in SECONDS:
        parts = [*given.args, *(one.value for one in given.keywords)]
    elif isinstance(given, ast.Tuple):
        parts = given.elts
    else:
        parts = [] if given is None else [given]
    numbers = [_number(part) for part in parts]
    return max(filter(None, numbers), default=None) if None not in numbers else None


def _number(node: ast.expr) -> float | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
