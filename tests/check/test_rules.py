"""Each rule on its own examples: it finds the true ones, and nothing in the false ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dutiful.check.catalogue import all_rules
from dutiful.check.engine import Wanted, examine
from dutiful.check.registry import PLACE_RULES, TASK_RULES, load
from dutiful.check.schema import Schema

FOLDER = Path(__file__).parent / "examples"
BEGIN = re.compile(r"^# ---- (true|false)\n", re.MULTILINE)
ELSEWHERE = {"DU000", "DU036", "DU037"}
"""On silences, the lock file and the store: test_silences.py, test_deployed.py."""
SCHEMA = Schema({"receipts": [frozenset({"id"}), frozenset({"order_id"})], "log": [frozenset({"id"})]})

PRELUDE = """
import asyncio, functools, os, shutil, smtplib, subprocess, tempfile, threading, time, urllib.request, uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated
import dramatiq, httpx, psycopg, redis, requests, tenacity
from celery import Celery, shared_task
from crum import get_current_user
from django.core.cache import cache
from django.core.mail import EmailMessage, send_mail
from django.db import models, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from flask import request as flask_request
from flask_login import current_user
from huey import SqliteHuey
from rq.decorators import job
from dutiful import App, Late, Run, Secret, Transaction

app = App("shop", "sqlite:///shop.db")
c = Celery("shop")
huey = SqliteHuey()

class Order(models.Model):
    number = models.IntegerField(unique=True)
    n = models.IntegerField()

class Line(models.Model):
    class Meta:
        unique_together = ("order", "item")

"""


def examples() -> list[object]:
    found: list[object] = []
    for path in sorted(FOLDER.glob("DU*.txt")):
        parts = BEGIN.split(path.read_text("utf-8"))[1:]
        for number, (kind, code) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
            found.append(pytest.param(path.stem, kind == "true", code, id=f"{path.stem}-{number}-{kind}"))
    return found


@pytest.mark.parametrize(("rule", "is_found", "code"), examples())
def test_a_rule_on_its_example(rule: str, is_found: bool, code: str, tmp_path: Path) -> None:
    prelude = PRELUDE
    if "cache = " in code:
        prelude = prelude.replace("from django.core.cache import cache\n", "")
    (tmp_path / "jobs.py").write_text(prelude + code, "utf-8")
    ast.parse(prelude + code)
    outcome = examine(Wanted((tmp_path,), select=(rule,), schema=SCHEMA))
    assert sum(outcome.tasks.values()) >= 1, "the example has no task"
    assert not outcome.unreadable
    assert {one.rule for one in outcome.findings} == ({rule} if is_found else set())
    for one in outcome.findings:
        assert one.line > prelude.count("\n") and one.why and one.fix


def test_every_rule_has_examples_and_code_and_words() -> None:
    load()
    rules = all_rules()
    assert list(rules) == [f"DU{number:03}" for number in range(42)]
    carried = set(TASK_RULES) | set(PLACE_RULES)
    assert carried == set(rules) - ELSEWHERE
    for name in carried:
        kinds = BEGIN.findall((FOLDER / f"{name}.txt").read_text("utf-8"))
        assert kinds.count("true") >= 3 and kinds.count("false") >= 3, name
    for one in rules.values():
        assert one.title and one.why and one.bad and one.fix, one.id
