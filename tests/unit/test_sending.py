"""Channels against real servers on this host: what comes through, and what is said of what does not."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from dutiful import Apprise, Command, Smtp, Webhook
from dutiful.model.alerts import Message
from dutiful.worker import sending
from dutiful.worker.sending import NotSent, send

MESSAGE = Message(
    app="shop",
    event="raised",
    key="queue:mail",
    dedup="dutiful/shop/queue:mail",
    number="late",
    severity="normal",
    sentence="queue mail: oldest due 6m 12s, target 2m",
    jobs=1,
    owner="mail",
    since=None,
    link="",
    command="dutiful queue list",
)


class Web:
    """Answers every POST and GET with one status, and notes what came."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, dict(self.headers), body))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.server.shutdown()
    one.server.server_close()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.append(envelope)
        return self.answer


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        controller.port = free.getsockname()[1]
    controller.start()
    yield box, controller.port
    controller.stop()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_webhook_is_posted_the_message_as_json(web: Web) -> None:
    send(Webhook(f"http://{web.address}/hook", {"X-Key": "k"}), MESSAGE)
    [(method, path, headers, body)] = web.seen
    got = json.loads(body)
    assert (method, path, headers["X-Key"], headers["Content-Type"]) == (
        "POST",
        "/hook",
        "k",
        "application/json",
    )
    assert (got["schema"], got["key"], got["dedup"]) == (
        "dutiful/alert/1",
        "queue:mail",
        "dutiful/shop/queue:mail",
    )
    assert got["title"] == "dutiful shop: late: queue mail: oldest due 6m 12s, target 2m"


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_any_other_answer_than_2xx_is_a_failure_and_no_redirect_is_followed(web: Web, status: int) -> None:
    web.status, web.headers = status, {"Location": f"http://{web.address}/elsewhere"}
    with pytest.raises(NotSent, match=f"HTTP {status}"):
        send(Webhook(f"http://{web.address}/s3cret"), MESSAGE)
    assert len(web.seen) == 1


def test_what_is_said_of_a_failure_holds_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"http://127.0.0.1:{closed_port()}/s3cret", "http://s3cret.invalid/s3cret"):
        with pytest.raises(NotSent) as raised:
            send(Webhook(url), MESSAGE)
        assert "s3cret" not in str(raised.value) and "127.0.0.1" not in str(raised.value)


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(NotSent, match="no answer within"):
            send(Webhook(f"http://127.0.0.1:{port}"), MESSAGE)
        with pytest.raises(NotSent, match="mail server"):
            send(Smtp("127.0.0.1", "a@x.test", ("b@x.test",), port=port, tls="none"), MESSAGE)


def test_a_mail_has_a_subject_and_is_for_all(mail: tuple[Mailbox, int]) -> None:
    box, port = mail
    send(Smtp("127.0.0.1", "jobs@x.test", ("ann@x.test", "bob@x.test"), port=port, tls="none"), MESSAGE)
    [got] = box.mails
    text = got.content.decode()
    assert got.rcpt_tos == ["ann@x.test", "bob@x.test"]
    assert "Subject: dutiful shop: late: queue mail: oldest due" in text
    assert "X-Dutiful-Dedup: dutiful/shop/queue:mail" in text
    assert "type: dutiful queue list" in text


def test_a_mail_server_that_refuses_is_a_failure(mail: tuple[Mailbox, int]) -> None:
    box, port = mail
    box.answer = "554 no"
    channel = Smtp("127.0.0.1", "jobs@x.test", "ann@x.test", port=port, tls="none")  # type: ignore[arg-type]
    with pytest.raises(NotSent, match="the mail server said 554"):
        send(channel, MESSAGE)
    with pytest.raises(
        NotSent, match="mail server refused"
    ):  # it offers no STARTTLS, and nothing is sent without
        send(Smtp("127.0.0.1", "jobs@x.test", ("ann@x.test",), port=port), MESSAGE)
    assert len(box.mails) == 1


def test_a_line_break_in_a_sentence_is_no_header(mail: tuple[Mailbox, int]) -> None:
    import msgspec

    box, port = mail
    evil = msgspec.structs.replace(
        MESSAGE, sentence="x\r\nBcc: eve@x.test\r\n\r\nbody", dedup="a\r\nBcc: eve@x.test"
    )
    send(Smtp("127.0.0.1", "jobs@x.test", ("ann@x.test",), port=port, tls="none"), evil)
    [got] = box.mails
    head = got.content.decode().partition("\r\n\r\n")[0]
    assert got.rcpt_tos == ["ann@x.test"] and "\r\nBcc" not in head


def test_a_command_is_given_the_message_on_its_stdin(tmp_path: Path) -> None:
    copy = f"import sys; open({str(tmp_path / 'got')!r}, 'wb').write(sys.stdin.buffer.read())"
    send(Command((sys.executable, "-c", copy)), MESSAGE)
    assert json.loads((tmp_path / "got").read_text())["sentence"] == MESSAGE.sentence


def test_a_command_that_fails_hangs_or_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSent, match="ended with 3"):
        send(Command((sys.executable, "-c", "raise SystemExit(3)")), MESSAGE)
    with pytest.raises(NotSent, match="could not be started"):
        send(Command(("/nowhere/at/all",)), MESSAGE)
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    with pytest.raises(NotSent, match="not done within"):
        send(Command((sys.executable, "-c", "import time; time.sleep(60)")), MESSAGE)


def test_apprise_delivers_to_what_it_knows(web: Web) -> None:
    send(Apprise(f"json://{web.address}/hook"), MESSAGE)
    [(_, _, _, body)] = web.seen
    assert json.loads(body)["title"] == MESSAGE.title
    web.status = 500
    with pytest.raises(NotSent, match="could not deliver"):
        send(Apprise(f"json://{web.address}/hook"), MESSAGE)
    with pytest.raises(NotSent, match="does not know"):
        send(Apprise("nothing-of-the-kind://s3cret"), MESSAGE)
