"""Tasks on Django's own connection and by its ORM, on SQLite."""

from __future__ import annotations

from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import F

from dutiful.app.transactions import Transaction
from tests.drill.corpus.shop import FILE, bug, right

ALIAS = "drill_corpus"
HERE = {"where": "django"}

if not settings.configured:
    settings.configure(DATABASES={}, USE_TZ=True)
if not apps.ready:
    django.setup()
GIVEN = {"default": {}, ALIAS: {"ENGINE": "django.db.backends.sqlite3", "NAME": FILE}}
connections.settings[ALIAS] = connections.configure_settings(GIVEN)[ALIAS]


class Account(models.Model):
    id = models.IntegerField(primary_key=True)
    balance = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "drill_corpus", "accounts", False


class Receipt(models.Model):
    order_id = models.IntegerField()
    amount = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "drill_corpus", "receipts", False


class KeyedReceipt(models.Model):
    order_id = models.IntegerField(primary_key=True)
    amount = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "drill_corpus", "keyed_receipts", False


def rows(model: Any) -> Any:
    return model.objects.using(ALIAS)


@bug({**HERE})
def django_create_without_key(order_id: int) -> None:
    rows(Receipt).create(order_id=order_id, amount=100)


@bug({**HERE})
def django_get_or_create_without_constraint(order_id: int) -> None:
    rows(Receipt).get_or_create(order_id=order_id, defaults={"amount": 100})


@bug({**HERE})
def django_two_transactions(order_id: int) -> None:
    with transaction.atomic(using=ALIAS):
        _, new = rows(KeyedReceipt).get_or_create(order_id=order_id, defaults={"amount": 100})
    if new:
        rows(Account).filter(id=1).update(balance=F("balance") + 100)


@bug({**HERE})
def django_read_and_save(order_id: int) -> None:
    account = rows(Account).get(id=1)
    account.balance -= 100
    account.save(using=ALIAS)


@bug({**HERE})
def django_effect_after_the_commit(order_id: int) -> None:
    """What on_commit was to do is lost when the process dies in between."""
    with transaction.atomic(using=ALIAS):
        _, new = rows(KeyedReceipt).get_or_create(order_id=order_id, defaults={"amount": 100})
        if new:
            transaction.on_commit(lambda: rows(Receipt).create(order_id=order_id, amount=100), using=ALIAS)


@right({**HERE})
def django_one_transaction(order_id: int) -> None:
    with connections[ALIAS].cursor() as cursor, transaction.atomic(using=ALIAS):
        cursor.execute("INSERT INTO keyed_receipts VALUES (%s, 100) ON CONFLICT DO NOTHING", [order_id])
        if cursor.rowcount:
            rows(Account).filter(id=1).update(balance=F("balance") + 100)


@right({**HERE})
def django_sets_a_value(order_id: int) -> None:
    rows(KeyedReceipt).update_or_create(order_id=order_id, defaults={"amount": 100})


@right({**HERE}, delivery="exactly_once", database=f"django:{ALIAS}")
def django_exactly_once(order_id: int, *, tx: Transaction) -> None:
    rows(Receipt).create(order_id=order_id, amount=100)
    with transaction.atomic(using=ALIAS):
        rows(Account).filter(id=1).update(balance=F("balance") - 100)
