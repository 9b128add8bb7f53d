"""What reaches beyond the process: requests, mail, database writes; and what makes them safe to repeat."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .reading import Call, Scope, dotted, keyword, last, own_nodes_of, text_of

CLIENTS = (
    "requests.Session", "requests.session", "requests.sessions.Session", "httpx.Client", "httpx.AsyncClient",
    "aiohttp.ClientSession",
)  # fmt: skip
HTTP = ("get", "post", "put", "patch", "delete", "head", "options", "request")
READS = re.compile(
    r"graphql|search|query|token|oauth|login|auth|lookup|validate|verify|check|siteverify|introspect", re.I
)
"""Words in the address or name of a POST that only asks."""
MAIL = frozenset(
    {"django.core.mail.send_mail", "django.core.mail.send_mass_mail", "django.core.mail.mail_admins",
     "django.core.mail.mail_managers"}
)  # fmt: skip
MAKERS_OF_MAIL = ("django.core.mail.EmailMessage", "django.core.mail.EmailMultiAlternatives")
EXECUTE = frozenset({"execute", "executemany", "exec_driver_sql", "run_sql", "aexecute"})
SQL_WRITE = re.compile(r"^\s*(?:with\b.*?\)\s*)?(insert|update|delete|replace|merge)\b", re.I | re.S)
ORM_READS = frozenset(
    {"get", "first", "last", "latest", "earliest", "one", "one_or_none", "get_or_404", "aget", "scalar_one",
     "get_object_or_404"}
)  # fmt: skip
LOGGING = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print"})


def made_by(scope: Scope, node: ast.expr, makers: tuple[str, ...]) -> bool:
    """Whether an expression is a call of one of the makers, or a name that was assigned one."""
    if isinstance(node, ast.Call):
        return scope.meaning(node.func) in makers
    if isinstance(node, ast.Name):
        values = scope.assigned(node.id)
        if values:
            return any(isinstance(one, ast.Call) and scope.meaning(one.func) in makers for one in values)
        top = scope.module.top.get(node.id)
        value = getattr(top, "value", None)
        return isinstance(value, ast.Call) and scope.module.meaning(dotted(value.func)) in makers
    return False


def http_method(call: Call) -> str:
    """The method of an HTTP request, for those of requests, httpx and aiohttp; empty for anything else."""
    head, _, method = call.name.rpartition(".")
    if method not in HTTP:
        return ""
    function = call.node.func
    known = head in ("requests", "httpx", "requests.api") or (
        isinstance(function, ast.Attribute) and made_by(call.scope, function.value, CLIENTS)
    )
    if not known:
        return ""
    if method == "request":
        return text_of(call.node.args[0] if call.node.args else keyword(call.node, "method")).lower()
    return method


def library(call: Call) -> str:
    """Whose request it is: requests, httpx or aiohttp."""
    head = call.name.partition(".")[0]
    if head in ("requests", "httpx", "aiohttp"):
        return head
    function = call.node.func
    if isinstance(function, ast.Attribute):
        for name in ("requests", "httpx", "aiohttp"):
            if made_by(call.scope, function.value, tuple(m for m in CLIENTS if m.startswith(name))):
                return name
    return ""


def only_asks(call: Call) -> bool:
    """Whether a POST is, by its address or the function around it, a question."""
    spoken = [text_of(one) or " ".join(_names(one)) for one in call.node.args[:2]]
    url = keyword(call.node, "url")
    if url is not None:
        spoken.append(text_of(url) or " ".join(_names(url)))
    spoken.append(call.scope.node.name)
    return any(READS.search(one) for one in spoken)


def _names(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr
        elif isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def has_key(call: Call) -> bool:
    """Whether the request carries an idempotency key, or headers that are made elsewhere."""
    for one in ast.walk(call.node):
        if isinstance(one, ast.keyword) and one.arg and "idempot" in one.arg.lower():
            return True
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "idempot" in one.value.lower():
            return True
        if isinstance(one, ast.Name) and "idempot" in one.id.lower():
            return True
    headers = keyword(call.node, "headers")
    if isinstance(headers, ast.Name):
        values = call.scope.assigned(headers.id)
        text = " ".join(ast.unparse(value).lower() for value in values)
        text += "".join(
            ast.unparse(node).lower()
            for node in call.scope.nodes()
            if isinstance(node, ast.Subscript) and dotted(node.value) == headers.id
        )
        return "idempot" in text
    return False


def is_mail(call: Call) -> bool:
    """Whether it sends mail, a text message or a push."""
    if call.name in MAIL:
        return True
    function = call.node.func
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr == "send":
        return made_by(call.scope, function.value, MAKERS_OF_MAIL) or made_by(
            call.scope, function.value, ("flask_mail.Mail",)
        )
    if function.attr in ("sendmail", "send_message"):
        return made_by(call.scope, function.value, ("smtplib.SMTP", "smtplib.SMTP_SSL"))
    if function.attr == "create" and isinstance(function.value, ast.Attribute):
        return function.value.attr == "messages" and made_by(
            call.scope, function.value.value, ("twilio.rest.Client",)
        )
    return False


def is_post(call: Call) -> bool:
    """Whether it is a request that makes something at the other side."""
    return http_method(call) in ("post", "patch") and not only_asks(call)


def sql_of(call: Call) -> str:
    """The text of the SQL that a call carries out; empty for any other call."""
    if last(call.node) not in EXECUTE or not call.node.args:
        return ""
    first = call.node.args[0]
    text = text_of(first)
    if not text and isinstance(first, ast.Name):
        values = call.scope.assigned(first.id)
        if len(values) == 1:
            text = text_of(values[0])
        elif not values:
            text = text_of(getattr(call.scope.module.top.get(first.id), "value", None))
    return text


def is_write(call: Call) -> str:
    """What a call writes to: the table or the model; empty if it writes nothing, as far as is seen."""
    sql = sql_of(call)
    if sql:
        found = re.match(
            r"\s*(?:insert\s+(?:or\s+\w+\s+)?into|update|delete\s+from|replace\s+into|merge\s+into)\s+"
            r"([\w.\"{}]+)", sql, re.I,
        )  # fmt: skip
        return found[1].strip('"').lower() if found else ""
    parts = call.name.split(".")
    if "objects" in parts and parts[-1] in (
        "create", "acreate", "bulk_create", "update", "delete", "bulk_update", "update_or_create",
    ):  # fmt: skip
        return parts[parts.index("objects") - 1]
    function = call.node.func
    if not isinstance(function, ast.Attribute) or function.attr not in ("save", "asave", "delete"):
        return ""
    return model_of(call.scope, function.value.id) if isinstance(function.value, ast.Name) else ""


def model_of(scope: Scope, name: str) -> str:
    """The model that a local name is a row of: ``order = Order.objects.get(…)``."""
    for value in scope.assigned(name):
        value = value.value if isinstance(value, ast.Await) else value
        if isinstance(value, ast.Call):
            parts = dotted(value.func).split(".")
            if "objects" in parts and parts[-1] in (*ORM_READS, "create", "acreate"):
                return parts[parts.index("objects") - 1]
            if parts[-1] == "get_object_or_404" and value.args:
                return dotted(value.args[0])
    return ""


def is_outward(call: Call) -> str:
    """What kind of effect a call is, for people; empty if it is none that is known here."""
    if is_mail(call):
        return "mail"
    if is_post(call):
        return "a request"
    if last(call.node) in ("effect", "aeffect") and dotted(call.node.func).split(".")[0] == "run":
        return "an effect"
    return ""


def in_transaction(scope: Scope, node: ast.AST) -> bool:
    """Whether a transaction is open around it, in this function or where it is called from."""
    for where, one in scope.all_above(node):
        if isinstance(one, ast.With | ast.AsyncWith) and any(
            opens_transaction(where, item.context_expr) for item in one.items
        ):
            return True
    one_scope: Scope | None = scope
    while one_scope is not None:
        for decorator in one_scope.node.decorator_list:
            if dotted(decorator).replace("()", "").rpartition(".")[2] in ("atomic", "commit_on_success"):
                return True
        one_scope = one_scope.caller
    return False


def opens_transaction(scope: Scope, node: ast.expr) -> bool:
    """Whether this is what a ``with`` opens a transaction by."""
    call = node.func if isinstance(node, ast.Call) else node
    name = scope.meaning(call)
    word = name.rpartition(".")[2]
    if name.endswith("transaction.atomic") or word in ("atomic", "traced_atomic_transaction"):
        return True
    return isinstance(node, ast.Call) and word in ("begin", "begin_nested", "transaction")


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler does nothing but log, pass, continue or return."""
    for statement in handler.body:
        if isinstance(statement, ast.Pass | ast.Continue):
            continue
        if isinstance(statement, ast.Return):
            if statement.value is None or isinstance(statement.value, ast.Constant):
                continue
            return False
        if isinstance(statement, ast.Expr):
            if isinstance(statement.value, ast.Constant):
                continue
            if isinstance(statement.value, ast.Call) and last(statement.value) in LOGGING:
                continue
        return False
    return True


def nodes_in(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes that run in these statements."""
    for statement in statements:
        yield statement
        yield from own_nodes_of(statement)
