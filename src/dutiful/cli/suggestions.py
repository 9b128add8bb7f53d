"""Commands that are offered to be typed next, completed so that they reach the same app or store."""

from __future__ import annotations

import re
import shlex

_COMMAND = re.compile(
    r"(?:^|(?<=[:;] ))dutiful (worker|dev|enqueue|job|dead|bulk|doubt|queue|schedule|gate|lock|audit|alert"
    r"|verdict|top|verify|doctor|migrate)\b[^\n]*$",
    re.M,
)
_NEEDS_CODE = ("worker", "dev", "enqueue")


def complete(text: str, *, app: str | None, store: str | None, app_name: str | None) -> str:
    """The text, its commands with the options by which this call found its app; others need none.

    Left alone are commands that name an app already, and URLs with a password in them.
    """
    if app is None and store is None:
        return text

    def completed(found: re.Match[str]) -> str:
        command = found[0].replace("--app MODULE:APP", f"--app {app}") if app else found[0]
        if "--app" in command:
            return command
        if app is not None:
            return f"{command} --app {shlex.quote(app)}"
        assert store is not None
        if found[1] in _NEEDS_CODE or re.search(r"://[^/@]*:[^/@]*@", store):
            return command
        whose = f" --app-name {shlex.quote(app_name)}" if app_name else ""
        return f"{command} --store {shlex.quote(store)}{whose}"

    return _COMMAND.sub(completed, text)
