"""Planted bugs in calls to the world outside: httpx, requests, urllib, mail."""

from __future__ import annotations

import contextlib
import json
import smtplib
import time
import urllib.request
import uuid
from contextlib import closing
from email.message import EmailMessage

import httpx
import requests

from dutiful import Run
from tests.drill.corpus.shop import bug, connect

PAY = "https://pay.example/charges"
HTTPX = {"where": "httpx"}


@bug({**HTTPX})
def post_without_key(order_id: int) -> None:
    httpx.post(PAY, json={"order": order_id}).raise_for_status()


@bug({**HTTPX})
def post_with_a_new_key(order_id: int) -> None:
    httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": str(uuid.uuid4())})


@bug({**HTTPX})
def post_with_key_of_the_attempt(order_id: int, run: Run) -> None:
    key = f"{order_id}-{run.run_no}"
    httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": key}).raise_for_status()


@bug({**HTTPX})
def call_first_save_after(order_id: int) -> None:
    with closing(connect()) as db:
        if db.execute("SELECT charge FROM orders WHERE id = ?", (order_id,)).fetchone()[0]:
            return
        charge = httpx.post(PAY, json={"order": order_id}).raise_for_status().json()["id"]
        with db:
            db.execute("UPDATE orders SET charge = ? WHERE id = ?", (charge, order_id))


@bug({**HTTPX})
def save_first_call_after(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            new = db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount
        if new:
            httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": f"o{order_id}"})


@bug({**HTTPX})
def status_is_not_looked_at(order_id: int, run: Run) -> None:
    httpx.post(PAY, json={"order": order_id}, headers={"Idempotency-Key": run.key("pay")})


@bug({**HTTPX})
def timeout_is_swallowed(order_id: int, run: Run) -> None:
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(
            PAY, json={"order": order_id}, headers={"Idempotency-Key": run.key("pay")}
        ).raise_for_status()


@bug({**HTTPX})
def retries_by_itself(order_id: int) -> None:
    for _ in range(2):
        try:
            httpx.post(PAY, json={"order": order_id}).raise_for_status()
            return
        except httpx.HTTPError:
            continue
    raise RuntimeError("gave up")


@bug({**HTTPX})
def time_in_the_body(order_id: int, run: Run) -> None:
    body = {"order": order_id, "at": time.time()}
    httpx.post(PAY, json=body, headers={"Idempotency-Key": run.key("pay")}).raise_for_status()


@bug({**HTTPX})
def two_calls_one_key(order_id: int, run: Run) -> None:
    for amount in (1, 2):
        httpx.post(PAY, json={"amount": amount}, headers={"Idempotency-Key": run.key("pay")})


@bug({**HTTPX})
async def async_post_without_key(order_id: int) -> None:
    async with httpx.AsyncClient() as client:
        (await client.post(PAY, json={"order": order_id})).raise_for_status()


@bug({**HTTPX})
def body_from_the_balance(order_id: int, run: Run) -> None:
    with closing(connect()) as db:
        (balance,) = db.execute("SELECT balance FROM accounts WHERE id = 1").fetchone()
        with db:
            new = db.execute("INSERT OR IGNORE INTO done_duties VALUES ('b')").rowcount
            if new:
                db.execute("UPDATE accounts SET balance = balance - 100 WHERE id = 1")
        headers = {"Idempotency-Key": run.key("pay")}
        httpx.post(PAY, json={"left": balance}, headers=headers).raise_for_status()


@bug()
def requests_without_key(order_id: int) -> None:
    requests.post(PAY, json={"order": order_id}, timeout=5).raise_for_status()


@bug()
def urllib_without_key(order_id: int) -> None:
    body = json.dumps({"order": order_id}).encode()
    urllib.request.urlopen(urllib.request.Request(PAY, data=body, method="POST"), timeout=5).read()


@bug()
def mail_at_least_once(order_id: int) -> None:
    mail = EmailMessage()
    mail["To"], mail["From"], mail["Subject"] = "ann@shop.example", "shop@shop.example", f"order {order_id}"
    mail.set_content("thank you")
    with smtplib.SMTP("mail.example") as server:
        server.send_message(mail)


@bug()
def mail_after_the_mark(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            new = db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount
        if new:
            with smtplib.SMTP("mail.example") as server:
                server.sendmail("shop@shop.example", ["ann@shop.example"], "Subject: hello\n\nthank you")


@bug({**HTTPX})
def effect_with_changing_request(order_id: int, run: Run) -> None:
    def pay(key: str) -> dict[str, str]:
        body = {"order": order_id, "nonce": uuid.uuid4().hex}
        reply = httpx.post(PAY, json=body, headers={"Idempotency-Key": key})
        return reply.raise_for_status().json()

    run.effect("pay", do=pay, remembered="1d")


@bug({**HTTPX})
def effect_that_does_not_send_its_key(order_id: int, run: Run) -> None:
    def pay(key: str) -> dict[str, str]:
        return httpx.post(PAY, json={"order": order_id}).raise_for_status().json()

    run.effect("pay", do=pay, remembered="1d")


@bug({**HTTPX})
def effect_whose_lookup_lies(order_id: int, run: Run) -> None:
    def pay(key: str) -> dict[str, str]:
        return httpx.post(PAY, json={"order": order_id}).raise_for_status().json()

    run.effect("pay", do=pay, lookup=lambda key: None)
