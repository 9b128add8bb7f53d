"""Sends one message through one channel, or says in a few words why that did not work.

The words never hold an address or a secret: they are stored and shown. No call lasts longer than about
``TIMEOUT_S``, but what a mail server draws out.
"""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException, HTTPMessage
from typing import IO

import msgspec

from ..model.alerts import Apprise, Channel, Command, Message, Smtp, Webhook

TIMEOUT_S = 10.0
ANSWER_MAX = 64 * 1024


class NotSent(Exception):
    """A channel did not take a message; the text is for people, and holds no secret."""


def send(channel: Channel, message: Message) -> None:
    """Send it. Raises NotSent; then it may have come through all the same, if an answer was lost."""
    try:
        if isinstance(channel, Webhook):
            post(channel.url, document(message), channel.headers)
        elif isinstance(channel, Smtp):
            _mail(channel, message)
        elif isinstance(channel, Command):
            _run(channel, message)
        else:
            _apprise(channel, message)
    except NotSent:
        raise
    except Exception as error:  # a library's own, of which the text may hold an address
        raise NotSent(f"{type(error).__name__}") from error


def document(message: Message) -> bytes:
    """The JSON that webhooks and commands are given: the message, and two texts for people."""
    fields = msgspec.structs.asdict(message) | {"title": message.title, "text": message.text}
    return msgspec.json.encode({"schema": "dutiful/alert/1", **fields})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None  # it would be a GET, to an address that nobody declared


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """POST a JSON document; raises NotSent unless the answer is 2xx."""
    request = urllib.request.Request(url, data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "dutiful")
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            answer.read(ANSWER_MAX)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotSent(f"the answer was HTTP {error.code}") from None
    except TimeoutError:
        raise NotSent(f"no answer within {TIMEOUT_S:.0f} s") from None
    except urllib.error.URLError as error:
        raise NotSent(f"no connection ({type(error.reason).__name__})") from None
    except (OSError, HTTPException) as error:
        raise NotSent(f"the connection broke ({type(error).__name__})") from None


def _mail(channel: Smtp, message: Message) -> None:
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.title.split())[:200]
    mail["From"], mail["To"] = channel.sender, ", ".join(channel.to)
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="dutiful.invalid")
    mail["X-Dutiful-Dedup"] = message.dedup.replace("\n", " ").replace("\r", " ")
    mail.set_content(message.text)
    made = smtplib.SMTP_SSL if channel.tls == "ssl" else smtplib.SMTP
    try:
        with made(channel.host, channel.port, timeout=TIMEOUT_S) as server:
            if channel.tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if channel.user is not None:
                server.login(channel.user, channel.password or "")
            refused = server.send_message(mail)
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the mail server said {error.smtp_code}") from None
    except smtplib.SMTPException as error:
        raise NotSent(f"the mail server refused ({type(error).__name__})") from None
    except TimeoutError:
        raise NotSent(f"no answer of the mail server within {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise NotSent(f"no connection to the mail server ({type(error).__name__})") from None
    if refused:
        raise NotSent(f"{len(refused)} of {len(channel.to)} addresses were refused")


def _run(channel: Command, message: Message) -> None:
    try:
        done = subprocess.run(
            channel.argv,
            input=document(message),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotSent(f"it was not done within {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise NotSent(f"it could not be started ({type(error).__name__})") from None
    if done.returncode:
        raise NotSent(f"it ended with {done.returncode}")


def _apprise(channel: Apprise, message: Message) -> None:
    try:
        import apprise
    except ImportError:
        raise NotSent("the extra is not installed: pip install 'dutiful[apprise]'") from None
    service = apprise.Apprise()
    if not service.add(channel.url):
        raise NotSent("Apprise does not know this address")
    kind = apprise.NotifyType.SUCCESS if message.event in ("cleared", "proof") else apprise.NotifyType.WARNING
    if not service.notify(body=message.text, title=message.title, notify_type=kind):
        raise NotSent("Apprise could not deliver it")
