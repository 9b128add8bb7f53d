"""What people do on the page that changes no job: see a secret, have a channel tried. Both are audited."""

from __future__ import annotations

import msgspec

from ..model.ids import make_id
from ..model.ops_errors import OpsError
from .alerts import test_message
from .audit import note
from .inspect import JobView, find
from .plan import Call, Steps, operation


@operation
def reveal(app: str, job_id: str, *, actor: str, reason: str) -> Steps[JobView]:
    """A job with its secrets, which this person is shown, and the audit says so. Raises JobNotFound."""
    job = yield from find(app, job_id)
    yield note("reveal", app, actor, job.id, "masked", "shown", reason)
    return job


@operation
def try_channel(app: str, channel: str, *, actor: str, reason: str = "") -> Steps[str]:
    """A proof is to be sent through a channel now, by a worker that has it: the message's id.

    Raises OpsError where no worker has one of that name.
    """
    rows = yield Call("list_channels", {"app": app})
    if channel not in {row[0] for row in rows}:
        names = ", ".join(row[0] for row in rows) or "none"
        raise OpsError(
            f"No worker has declared a channel {channel!r}; there are: {names}.", hint="dutiful alert list"
        )
    message, body = make_id(), msgspec.json.encode(test_message(app, channel)).decode()
    params = {"id": message, "app": app, "channel": channel, "event": "proof", "key": "proof", "body": body}
    yield Call("add_message", params)
    yield note("try_channel", app, actor, f"channel:{channel}", "", "to be sent", reason)
    return message
