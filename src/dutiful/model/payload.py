"""Payloads: a task's arguments as JSON and back, typed and checked by the function's own signature.

A :class:`Codec` is made once, when a task is declared. What it encodes is accepted by the annotations
of the function, strictly (``"5"`` is no int, a naive datetime no instant), and comes back equal on a
worker; so a wrong argument is refused where it was given, with the field named.

**Optional arguments that are not given are not stored.** A waiting job then follows a changed default,
and a parameter that is added or removed with its default touches no job that does not use it. The
hash of the arguments leaves out what equals its default, for the same reasons: ``f(1)`` and
``f(1, x=default)`` are the same arguments, before and after such a change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import msgspec

from .annotations import fit
from .canon import canonical, digest
from .errors import InvalidTask, PayloadTooLarge, RunError, WrongArgument
from .fits import Fit, Misfit, Unstorable, check_float
from .held import check_held
from .keys import near
from .signatures import MISSING, Signature, read_signature
from .wire import FAILURES, NO_SUCH_VALUE, decoder, encode, explained, record_type, unwritable

ARGS_BYTES_MAX = 65_536
RESULT_BYTES_MAX = 65_536


class Codec:
    """The arguments of one task, to JSON and back. Make one with :meth:`of`."""

    def __init__(self, task: str, signature: Signature) -> None:
        self.task = task
        self.injected: Mapping[str, type] = signature.injected
        """The parameters that a worker fills in (``run``, ``tx``), and their types."""
        self.parameters: Mapping[str, Any] = {one.name: one.annotation for one in signature.parameters}
        """The arguments that a caller gives, in order, and their annotations."""
        self.defaults: Mapping[str, Any] = {
            one.name: one.default for one in signature.parameters if one.default is not MISSING
        }
        """Of those that may be left out."""
        self.returns = signature.returns
        """What the function says that it returns; ``Any`` if it does not say."""
        fits = {name: _fit(task, name, annotation) for name, annotation in self.parameters.items()}
        self._positional = tuple(one.name for one in signature.parameters if one.positional)
        self._rows = tuple(
            (name, one.exact or _Nothing, one.check, name not in self.defaults) for name, one in fits.items()
        )
        self._exact: tuple[type, ...] | None = None
        """The types of all arguments, where all can be given by position: then one look is enough."""
        if self._positional == tuple(fits):
            self._exact = tuple(one.exact or _Nothing for one in fits.values())
        self._proof = any(one.proof for one in fits.values())
        self._stored = _stored_type(task, self.parameters, self.defaults)
        self._read = decoder(self._stored).decode
        self._default_texts = {name: self._default_text(name, one) for name, one in fits.items()}

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        task_name: str,
        injected: Collection[type] = (),
        *,
        names: Mapping[str, Any] | None = None,
    ) -> Codec:
        """The codec of a task's function. ``names`` resolves annotations that name something local.

        Raises :class:`InvalidTask` for a signature or an annotation that no stored job could satisfy.
        """
        return cls(task_name, read_signature(function, task_name, injected, names))

    # ── to JSON ─────────────────────────────────────────────────────────────────────────────

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """The arguments of a call as JSON; :meth:`bind` and :meth:`pack` in one."""
        return self.pack(self.bind(args, kwargs))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, checked, in the order of the parameters, without defaults.

        Raises :class:`WrongArgument` with the path of the field.
        """
        given: Mapping[str, Any] = kwargs
        if args:
            if not kwargs and tuple(map(type, args)) == self._exact:
                return dict(zip(self._positional, args, strict=True))
            if len(args) > len(self._positional):
                self._refuse_names(args, kwargs)
            positional = dict(zip(self._positional, args, strict=False))
            if kwargs:
                if not positional.keys().isdisjoint(kwargs):
                    self._refuse_names(args, kwargs)
                positional.update(kwargs)
            given = positional
        bound = {}
        for name, exact, check, required in self._rows:
            if name in given:
                value = given[name]
                if type(value) is not exact:
                    try:
                        check(value)
                    except Misfit as misfit:
                        self._refuse(name + misfit.path, misfit.problem, misfit.hint)
                    except RecursionError:
                        self._refuse(name, "is nested too deeply, or contains itself")
                bound[name] = value
            elif required:
                self._refuse_names(args, kwargs)
        if len(bound) != len(given):
            self._refuse_names(args, kwargs)
        return bound

    def pack(self, bound: Mapping[str, Any]) -> bytes:
        """Bound arguments as JSON. Raises :class:`PayloadTooLarge` above ``ARGS_BYTES_MAX``."""
        try:
            data = encode(bound)
        except FAILURES as error:
            self._blame(bound, error)
        if len(data) > ARGS_BYTES_MAX:
            raise PayloadTooLarge(f"The arguments of {self.task}", len(data), ARGS_BYTES_MAX)
        if self._proof:
            try:
                self._read(data)
            except FAILURES as error:
                self._refuse(*explained(error))
        return data

    # ── from JSON ───────────────────────────────────────────────────────────────────────────

    def decode(self, data: bytes) -> dict[str, Any]:
        """The stored arguments as keyword arguments for the function, typed; absent ones stay absent.

        Raises :class:`WrongArgument` where this version of the function cannot take them.
        """
        try:
            stored = self._read(data)
        except FAILURES as error:
            field, problem = explained(error)
            refusal = WrongArgument(
                self.task, field, problem, hint="Deploy code that can read it, then: dutiful dead retry ID"
            )
            where = f"argument {field} {problem}" if field else problem.removeprefix(NO_SUCH_VALUE)
            refusal.args = (f"Cannot read the stored arguments of {self.task}: {where}.",)
            raise refusal from None
        values = msgspec.structs.asdict(stored)
        if self.defaults:
            return {name: value for name, value in values.items() if value is not msgspec.UNSET}
        return values

    def with_defaults(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Bound or decoded arguments with the defaults filled in, as key templates want them."""
        return {**self.defaults, **arguments}

    def args_hash(self, data: bytes) -> str:
        """A hash of stored arguments, the same for equal arguments: 32 hexadecimal characters.

        It holds over releases, and over the order of parameters, of dicts and of sets.
        """
        arguments = self.decode(data)
        for name, text in self._default_texts.items():
            if name in arguments and canonical(arguments[name]) == text:
                del arguments[name]
        return digest(canonical(arguments))

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of the stored arguments, for forms and documentation."""
        return msgspec.json.schema(self._stored, schema_hook=lambda kind: {"type": "object"})

    # ── refusals ────────────────────────────────────────────────────────────────────────────

    def _refuse(self, field: str, problem: str, hint: str | None = None) -> NoReturn:
        raise WrongArgument(self.task, field, problem, hint=hint)

    def _refuse_names(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NoReturn:
        """Say which argument is unknown, given twice, one too many or missing: the likeliest cause first."""
        takes = ", ".join(self.parameters) or "nothing"
        for name in kwargs:
            if name in self.injected:
                self._refuse(name, "is filled in by the worker, and not given by the caller")
            if name not in self.parameters:
                self._refuse(str(name), f"is unknown{near(str(name), self.parameters)}")
        if len(args) > len(self._positional):
            self._refuse(f"no. {len(self._positional) + 1}", f"is one too many; the task takes {takes}")
        given = self._positional[: len(args)]
        for name in self.parameters:
            if name in given and name in kwargs:
                self._refuse(name, "is given twice, by its place and by its name")
            if name not in given and name not in kwargs and name not in self.defaults:
                self._refuse(name, f"is missing; the task takes {takes}")
        raise AssertionError("the names are right")

    def _blame(self, bound: Mapping[str, Any], error: Exception) -> NoReturn:
        """Find the argument whose value could not be written."""
        for name, value in bound.items():
            try:
                encode(value)
            except FAILURES as found:
                self._refuse(name, unwritable(found))
        raise error

    def _default_text(self, name: str, one: Fit) -> str | None:
        """How the default would be stored, to be compared; None for one that no caller could give."""
        if name not in self.defaults:
            return None
        value = self.defaults[name]
        try:
            one.check(value)
            return canonical(decoder(self.parameters[name]).decode(encode(value)))
        except (Misfit, *FAILURES):
            return None


class _Nothing:
    """No value is of this type, so that each is checked."""


def _fit(task: str, name: str, annotation: Any) -> Fit:
    try:
        one = fit(annotation)
    except Unstorable as refusal:
        raise InvalidTask(f"{task}: parameter {name} {refusal}.") from None
    except RecursionError:
        raise InvalidTask(f"{task}: parameter {name} is a type that is made of itself.") from None
    try:
        decoder(annotation)
    except TypeError as error:  # from msgspec, which says it at length
        problem = str(error).partition(" - type `")[0]
        raise InvalidTask(
            f"{task}: parameter {name} is {annotation}, which JSON could not tell apart: {problem}.",
            hint="Use one of the types, or msgspec Structs with tags.",
        ) from None
    return one


def _stored_type(
    task: str, parameters: Mapping[str, Any], defaults: Mapping[str, Any]
) -> type[msgspec.Struct]:
    fields = {name: (annotation, name not in defaults) for name, annotation in parameters.items()}
    try:
        return record_type("Arguments", fields)
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"{task}: its parameters cannot be stored by name: {error}.") from None


# ── results ─────────────────────────────────────────────────────────────────────────────────


def encode_result(value: Any, limit: int = RESULT_BYTES_MAX) -> bytes:
    """What a task returned as JSON. Not checked against the annotation: the work is done already.

    Raises :class:`PayloadTooLarge`, or :class:`RunError` for what JSON cannot carry.
    """
    try:
        data = encode(value)
        if b"null" in data:  # None, or what JSON cannot say and msgspec makes of it
            check_held(value, _check_finite)
    except (Misfit, *FAILURES) as error:
        path, problem = (error.path, error.problem) if isinstance(error, Misfit) else ("", unwritable(error))
        raise RunError(f"The result{path} {problem}.", hint="Return plain data, or nothing.") from None
    if len(data) > limit:
        raise PayloadTooLarge("The result", len(data), limit)
    return data


def _check_finite(value: Any) -> None:
    if isinstance(value, float):
        check_float(value)


def decode_result(data: bytes, annotation: Any = Any) -> Any:
    """A stored result, typed by the function's annotation (:attr:`Codec.returns`).

    Raises :class:`RunError` where it does not fit.
    """
    try:
        return _result_decoder(annotation).decode(data)
    except FAILURES as error:
        field, problem = explained(error)
        where = f"The result's {field}" if field else "The result"
        raise RunError(f"{where} {problem}.") from None


@lru_cache(maxsize=1024)
def _result_decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return decoder(annotation)
