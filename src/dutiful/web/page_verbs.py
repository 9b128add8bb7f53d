"""Verbs that change no job: a secret is shown to whoever may see it and says why; a channel is tried."""

from __future__ import annotations

from ..model.operators import NEEDS
from ..model.ops_errors import OpsError
from ..operations import page_deeds
from ..operations.actions import Outcome, Seen
from ..operations.inspect import JobView
from ..supervise.desk import Desk
from .asking import Ask, Revealed
from .dialogs import REASON, REASON_NEEDED, Dialog, Verb
from .screens import job as job_screen

TRIES = "admin"
"""The permission to try a channel: a message goes to whoever is told of alerts."""
SHOWN_CHARS = 64_000


class PageOps(Desk):
    """The deeds of the page, as people's verbs are: permission, read-only, once, audited."""

    def reveal(self, job_id: str, *, reason: str, seen: Seen, action_id: str) -> Outcome[JobView]:
        """A job with its secrets. Raises NotAllowed, ReadOnly (nothing can be audited), ReasonNeeded."""
        self.demand_reason("see secrets", reason)
        deed = page_deeds.reveal(self.name, job_id, actor=self.actor.id, reason=reason)
        return self.on_job("reveal", job_id, deed, seen, action_id)

    def try_channel(self, channel: str, *, reason: str, action_id: str) -> Outcome[str]:
        """A test is sent through a channel by a worker that has it. Raises NotAllowed, OpsError."""
        self.demand(TRIES, queue="*", task="*")
        deed = page_deeds.try_channel(self.name, channel, actor=self.actor.id, reason=reason)
        return self.act(
            "try_channel",
            deed,
            lambda _: f"a test of {channel} is sent by the next worker that has it",
            action_id,
        )


def ops_of(ask: Ask) -> PageOps:
    """The deeds of whoever asks."""
    return PageOps(ask.site, ask.operator, readonly=ask.site.readonly)


def _reveal_dialog(ask: Ask) -> Dialog:
    found = job_screen.find(ask)
    ops_of(ask).writing("reveal", queue=found.queue, task=found.task)
    return Dialog(
        title="Show its secrets?",
        words=(
            f"{found.task} in queue {found.queue}",
            "Arguments and result are shown to you once, as they are stored. The audit keeps that, and why.",
        ),
        button="Show them",
        action=ask.link(f"/jobs/{found.id}/reveal"),
        back=ask.text("back") or ask.link(f"/jobs/{found.id}"),
        fields=(REASON_NEEDED,),
        careful=True,
        seen=Seen.of(found).rev,
        now_us=found.now_us,
    )


def _reveal(ask: Ask) -> str:
    found = job_screen.find(ask)
    given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
    try:
        seen = Seen.parse(ask.said("seen"))
    except ValueError:
        raise OpsError("The form does not say how the job was when it was shown.") from None
    done = ops_of(ask).reveal(found.id, seen=seen, **given)
    if done.value is None:
        raise OpsError(
            "They were shown to you already, by this very form.", hint="Ask again, and say why again."
        )
    ask.shows = Revealed(found.id, _text(done.value.args), _text(done.value.result))
    return done.said


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    text = bytes(data).decode(errors="backslashreplace")
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _try_dialog(ask: Ask) -> Dialog:
    ops_of(ask).demand(TRIES, queue="*", task="*")
    name = ask.names["name"]
    return Dialog(
        title=f"Send a test through {name}?",
        words=(
            "Whoever is told by it gets a message that says that alerts come through.",
            "It is sent by the next worker that has this channel, within half a minute or so.",
        ),
        button="Send a test",
        action=ask.here(back=None),
        back=ask.text("back") or ask.link("/alerts"),
        fields=(REASON,),
    )


def _try(ask: Ask) -> str:
    given = {"reason": ask.said("reason"), "action_id": ask.said("action_id")}
    return ops_of(ask).try_channel(ask.names["name"], **given).said


PAGE_VERBS: tuple[Verb, ...] = (
    Verb("reveal", "/jobs/{id}/reveal", _reveal_dialog, _reveal, NEEDS["reveal"]),
    Verb("try_channel", "/alerts/{name:path}/test", _try_dialog, _try, TRIES),
)
