"""The rules in words: what each finds, why it matters, an example, and what to type instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["E", "W", "I"]
SEVERITIES: dict[Severity, str] = {"E": "error", "W": "warning", "I": "info"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the checklist."""

    id: str
    severity: Severity
    title: str
    why: str
    bad: str
    fix: str
    elsewhere: str = ""
    """The fix for other job systems than dutiful; without one the rule is for dutiful alone."""
    words: dict[str, str] = field(default_factory=dict)
    """The same in the words of one system."""
    needs: str = ""
    """What it cannot do without: "schema", "lock" or "store"."""

    def fix_for(self, system: str) -> str:
        """What to type, in the words of that job system."""
        return self.fix if system == "dutiful" else self.words.get(system, self.elsewhere)


def all_rules() -> dict[str, Rule]:
    """Every rule, by its id, in order."""
    from .catalogue_more import MORE

    return {one.id: one for one in (*RULES, *MORE)}


RULES = (
    Rule(
        "DU000",
        "E",
        "a silence without a reason",
        "Whoever reads it next cannot know whether the reason still holds.",
        "counter.n += 1  # dutiful: ok DU001",
        "# dutiful: ok DU001 — why it is right here",
        "# dutiful: ok DU001 — why it is right here",
    ),
    Rule(
        "DU001",
        "E",
        "a relative write in a task that may run again",
        "A run that is repeated adds once more: the number is then wrong for good.",
        'Account.objects.filter(id=id).update(balance=F("balance") + 100)',
        'delivery="exactly_once", and write through tx',
        "with dutiful.once(conn, key) as turn: around the write, in one transaction; or store the new value",
    ),
    Rule(
        "DU002",
        "E",
        "an INSERT that no unique key keeps from being repeated",
        "A run that is repeated inserts a second row, and the database has no reason to refuse it.",
        'conn.execute("insert into receipts (order_id, cents) values (%s, %s)", …)',
        "unique (order_id) and: insert … on conflict do nothing",
        "unique (order_id) and: insert … on conflict do nothing",
        needs="schema",
    ),
    Rule(
        "DU003",
        "W",
        "look first, then insert, and no unique key behind it",
        "Two runs at once both find nothing and both insert; only a constraint decides between them.",
        "Receipt.objects.get_or_create(order_id=order_id)  # order_id is not unique",
        "a UniqueConstraint on the fields that are looked up; insert … on conflict do nothing",
        "a UniqueConstraint on the fields that are looked up; insert … on conflict do nothing",
    ),
    Rule(
        "DU004",
        "E",
        "a POST in a task that may run again, without an idempotency key",
        "A call that got no answer may have been carried out; the next run asks for it once more.",
        "httpx.post(url, json=order)",
        'run.effect("charge", do=lambda key: post(url, headers={"Idempotency-Key": key}), remembered="24h")',
        'headers={"Idempotency-Key": f"charge:{order_id}"}: the same in every run',
    ),
    Rule(
        "DU005",
        "E",
        "an idempotency key that is another one in each run",
        "The other side takes the repeat for a new request, so the key is worth nothing.",
        'headers={"Idempotency-Key": str(uuid4())}',
        'run.key("charge")',
        'a key made of the arguments: f"charge:{order_id}"',
    ),
    Rule(
        "DU006",
        "E",
        "mail in a task that may run again",
        "A server that took the mail and whose answer was lost gets it once more.",
        'send_mail("Your order", body, None, [to])  # retry=8',
        'delivery="at_most_once"; or run.effect("mail", do=lambda key: …)',
        "with dutiful.once(conn, key) as turn: send only on the first turn; or do not retry this task",
        {
            "celery": "neither autoretry_for nor acks_late; or dutiful.once(conn, key) around the sending",
            "dramatiq": "max_retries=0 on this actor; or dutiful.once(conn, key) around the sending",
        },
    ),
    Rule(
        "DU007",
        "E",
        "several writes that do not commit together",
        "A worker that dies between them leaves half of the work.",
        "session.add(order); session.commit(); session.add(invoice); session.commit()",
        "with run.transaction() as tx: around all of them (exactly_once)",
        "one transaction around all of them: with session.begin(): or with transaction.atomic():",
    ),
    Rule(
        "DU008",
        "W",
        "a commit in the body of an exactly_once task",
        "Work, ledger and completion commit together, by dutiful; a commit in between is refused.",
        "tx.execute(…); tx.commit()",
        "leave the commit away",
    ),
    Rule(
        "DU009",
        "E",
        "a rollback in an exactly_once body that then goes on",
        "What is rolled back is gone, and the body reports success: the run is refused.",
        "except IntegrityError: tx.rollback()",
        "raise",
    ),
    Rule(
        "DU010",
        "W",
        "a failed effect is swallowed",
        "The task counts as done, nothing retries it, and nobody is told.",
        "try: send_mail(…)\nexcept Exception: logger.exception('…')",
        'let it raise; or raise RetryIn("5m"), raise GiveUp("why")',
        "let it raise after logging it",
        {"celery": "raise self.retry(exc=error), or let it raise"},
    ),
    Rule(
        "DU011",
        "W",
        "everything is caught, also the order to stop",
        "It swallows cancellation, time limits and shutdown; the worker cannot end the run.",
        "except BaseException: pass",
        "except Exception:",
        "except Exception:",
    ),
    Rule(
        "DU012",
        "W",
        "a business date taken from the clock",
        "A run that is late or repeated after midnight works on another day than was meant.",
        "report_for(date.today())",
        'an argument day: date, and once="report:{day}"',
        "an argument with the date, set by who enqueues",
    ),
    Rule(
        "DU013",
        "W",
        "an instant without time zone",
        "It means another moment on another host, and twice a year there is no or a second such moment.",
        "datetime.now().isoformat()",
        "datetime.now(UTC)",
        "datetime.now(UTC)",
    ),
    Rule(
        "DU014",
        "W",
        "an argument that is an object instead of a reference",
        "It is stored as it was when it was enqueued, so that the run sees old data; or it cannot be stored.",
        "def process(order: Order): …",
        "def process(order_id: int), and read the row inside",
        "pass the id, and read the row inside",
    ),
    Rule(
        "DU015",
        "E",
        "a secret as an argument",
        "Arguments are stored, logged and shown to whoever may look at the queue.",
        "def sync(user_id: int, password: str): …",
        "a reference to your secret store; at least Annotated[str, Secret]",
        "a reference to your secret store",
    ),
    Rule(
        "DU016",
        "W",
        "no once= on a task that may be enqueued twice",
        "A request that is sent again, or a job that runs again, stores a second job of the same duty.",
        "@app.task()\ndef send_receipt(order_id): …",
        'once="send_receipt:{order_id}"',
    ),
    Rule(
        "DU017",
        "W",
        "once= leaves out an argument that changes the effect",
        "Two jobs that differ in it are one duty: the second is refused as reused.",
        '@app.task(once="charge:{order}")\ndef charge(order: int, amount: int): …',
        "add it to once=; or say in a silence why it follows from the rest",
    ),
    Rule(
        "DU018",
        "E",
        "once= with a value that is never the same twice",
        "Each enqueue is then a duty of its own, and nothing is kept from running twice.",
        'send.using(once=f"send:{uuid4()}")',
        "the business key: what makes it the same duty",
    ),
    Rule(
        "DU019",
        "E",
        "an enqueue inside an open transaction that it is no part of",
        "The job may run before the commit, and runs also when the transaction is rolled back.",
        "with transaction.atomic():\n    order.save()\n    send.enqueue(order.id)",
        ".using(connection=…).enqueue(…): one commit for both",
        "after the commit: transaction.on_commit(…), and a reconciler for what dies in between",
        {"celery": "send_receipt.delay_on_commit(order.id), or transaction.on_commit(…)"},
    ),
    Rule(
        "DU020",
        "W",
        "a follow-up without a key in a task that may run again",
        "Each repeated run enqueues it once more.",
        "follow_up.enqueue(order_id)  # no once=",
        'once="follow_up:{order_id}" on the follow-up; or exactly_once: then it is in the transaction',
        "@dutiful.once_per(…) on the follow-up; or enqueue it last, in the transaction of the work",
    ),
)
