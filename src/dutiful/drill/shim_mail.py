"""The shim of ``smtplib``: a mail is an effect without a key, for no mail server knows one."""

from __future__ import annotations

import email
import email.policy
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .boundaries import track
from .provider import Call, Lost, Provider
from .shim_http import put

VOLATILE = ("date", "message-id", "mime-version", "content-type", "content-transfer-encoding")


def text_of(message: Any) -> str:
    """A mail without what is new in each copy of it: the date, the id and the boundaries."""
    raw = message.encode() if isinstance(message, str) else bytes(message)
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    heads = sorted(
        f"{name.lower()}: {value}" for name, value in parsed.items() if name.lower() not in VOLATILE
    )
    parts = [str(part.get_payload()) for part in parsed.walk() if not part.is_multipart()]
    return "\n".join([*heads, "", *parts])


@contextmanager
def mail_shim(provider: Provider) -> Iterator[None]:
    """While it is on, mails sent in a run go to the provider."""

    real_command = smtplib.SMTP.docmd

    def docmd(self: Any, command: str, args: str = "") -> Any:
        if track() is None:
            return real_command(self, command, args)
        return (221 if command.upper() == "QUIT" else 250, b"ok")

    def quietly(name: str, reply: Any) -> None:
        real = getattr(smtplib.SMTP, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return real(self, *args, **kwargs) if track() is None else reply

        stack.enter_context(put(smtplib.SMTP, name, method))

    real_send = smtplib.SMTP.sendmail

    def sendmail(self: Any, sender: Any, to: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        if track() is None:
            return real_send(self, sender, to, message, *args, **kwargs)
        addresses = [to] if isinstance(to, str) else list(to)
        try:
            answer = provider.ask(Call("MAIL", ", ".join(addresses), text_of(message), None))
        except Lost:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed") from None
        if answer.status >= 400:
            raise smtplib.SMTPDataError(451, b"try again later")
        return {}

    with ExitStack() as stack:
        for name in (
            "connect",
            "ehlo",
            "helo",
            "rset",
            "noop",
            "starttls",
            "login",
            "ehlo_or_helo_if_needed",
        ):
            quietly(
                name, (220 if name == "connect" else 250, b"ok") if name != "ehlo_or_helo_if_needed" else None
            )
        stack.enter_context(put(smtplib.SMTP, "docmd", docmd))
        stack.enter_context(put(smtplib.SMTP, "sendmail", sendmail))
        yield
