"""``@dutiful.once_per``: a function that is carried out once per key, under whatever job system calls it.

It stands below the job system's own decorator, next to the function::

    @celery.task(acks_late=True)
    @dutiful.once_per("charge:{order_id}", connect=Session, into="session")
    def charge(order_id: int, *, session) -> str: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from ..engines.bound_whole import aconnected, connected
from ..model import errors
from ..model.keys import Template
from ..model.payload import decode_result
from ..model.wire import encode
from .once import Turn, once, request_hash

F = TypeVar("F", bound=Callable[..., Any])


def once_per(
    template: str,
    *,
    connect: Callable[[], Any],
    into: str | None = None,
    scope: str = "",
    compare: bool = True,
) -> Callable[[F], F]:
    """Carry out a function once per key; a repeated call returns the stored result and runs nothing.

    ``template`` names the function's arguments: ``"charge:{order_id}"``. ``connect`` is called for each
    call, and gives a connection or session that ``dutiful.once`` takes, or a context manager of one
    (``sqlite3.connect`` in a lambda, ``pool.connection``, ``engine.connect``, a ``sessionmaker``); the
    transaction is begun and committed here, and the connection closed, but for Django's and scoped
    sessions. The function is given it as the keyword argument ``into``, which callers do not see; it must
    do its writing there, and must not commit. What it returns is stored (64 KiB of JSON at most).

    With ``compare`` the same key with other arguments raises RequestChanged. If the function raises,
    nothing is kept and the key is free. A second call at the same time waits; if that takes too long it
    raises StoreBusy, and the job system should try again later. An ``async def`` function wants an async
    connection.

    Raises InvalidTemplate and InvalidTask when the function is declared.
    """

    def decorate(function: F) -> F:
        plan = _Plan(function, template, into, scope, compare)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def acalled(*args: Any, **kwargs: Any) -> Any:
                key, request = plan.names(args, kwargs)
                async with aconnected(connect) as connection:
                    async with once(connection, key, scope=scope, request=request) as turn:
                        if turn.first:
                            turn.result = await function(*args, **plan.given(kwargs, connection))
                return plan.answer(turn)

            wrapper: Any = acalled
        else:

            @functools.wraps(function)
            def called(*args: Any, **kwargs: Any) -> Any:
                key, request = plan.names(args, kwargs)
                with connected(connect) as connection:
                    with once(connection, key, scope=scope, request=request) as turn:
                        if turn.first:
                            turn.result = function(*args, **plan.given(kwargs, connection))
                return plan.answer(turn)

            wrapper = called
        wrapper.__signature__ = plan.signature
        return cast(F, wrapper)

    return decorate


class _Plan:
    """What is known of the function when it is declared."""

    def __init__(
        self, function: Callable[..., Any], template: str, into: str | None, scope: str, compare: bool
    ) -> None:
        self._name = getattr(function, "__qualname__", repr(function))
        if not inspect.isfunction(function):
            raise errors.InvalidTask(
                f"once_per was given {self._name}, which is no plain function.",
                hint="It stands below the job system's decorator, next to the function.",
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise errors.InvalidTask(f"{self._name}: a generator has no one result that could be stored.")
        whole = inspect.signature(function)
        self._into = into
        if into is not None and getattr(whole.parameters.get(into), "kind", None) not in _BY_NAME:
            raise errors.InvalidTask(
                f"{self._name}: into={into!r} is no argument that can be given by name.",
                hint=f"Add it: def {self._name}(…, *, {into}).",
            )
        kept = [one for one in whole.parameters.values() if one.name != into]
        self.signature = whole.replace(parameters=kept)
        """As callers see it."""
        named = [one.name for one in kept if one.kind not in _STARS]
        self._template = Template.parse(template, named, "once_per")
        self._compare = compare
        self._bound_to = named[0] if named[:1] in (["self"], ["cls"]) else None
        self._returns = _returns(function)

    def names(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, str | None]:
        """The key and a hash of the arguments of a call; raises TypeError as the function itself would."""
        bound = self.signature.bind(*args, **kwargs)
        given = dict(bound.arguments)
        bound.apply_defaults()
        key = self._template.render(bound.arguments)
        if not self._compare:
            return key, None
        parameters = self.signature.parameters
        # Without what equals its default, so that a new argument does not make old calls others.
        counted = {
            name: value
            for name, value in given.items()
            if name != self._bound_to and not _same(value, parameters[name].default)
        }
        try:
            return key, request_hash(counted)
        except errors.InvalidOption as error:
            raise errors.InvalidOption(
                f"{self._name}: its arguments are no plain data, and cannot be compared.",
                hint="Take ids instead of objects, or say once_per(…, compare=False).",
            ) from error

    def given(self, kwargs: Mapping[str, Any], connection: Any) -> dict[str, Any]:
        """The keyword arguments of the function itself."""
        return dict(kwargs) if self._into is None else {**kwargs, self._into: connection}

    def answer(self, turn: Turn) -> Any:
        """What the function returned now, or what it returned then, typed as it says."""
        if turn.first or turn.result is None:
            return turn.result
        return decode_result(encode(turn.result), self._returns)


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STARS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _returns(function: Callable[..., Any]) -> Any:
    try:
        return inspect.get_annotations(function, eval_str=True).get("return", Any)
    except Exception:
        return Any  # what it names is there for type checkers alone
