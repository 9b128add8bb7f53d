"""Models of pydantic's (version 2), which know their own JSON.

pydantic is never imported here: a model class can only be met where it is imported already.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from .fits import Fit, Misfit, an, check_datetime, check_float, wrong
from .held import check_held, same


def is_model(kind: type) -> bool:
    """Whether it is a pydantic model class."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and issubclass(kind, base) and hasattr(base, "model_validate_json")


def dump_model(value: Any) -> bytes:
    """A model as JSON that :func:`load_model` reads back."""
    return bytes(value.model_dump_json(round_trip=True, by_alias=not _by_name(), warnings=False).encode())


def load_model(kind: Any, data: bytes) -> Any:
    """A model from its JSON. Raises ``ValueError`` in one line, which quotes no value."""
    try:
        return kind.model_validate_json(data, **({"by_name": True} if _by_name() else {}))
    except ValueError as error:
        raise ValueError(_first(error)) from None


def _by_name() -> bool:
    """Whether this pydantic can be told to read by field name; before 2.11 aliases are the safe way."""
    major, minor = sys.modules["pydantic"].VERSION.split(".")[:2]
    return (int(major), int(minor)) >= (2, 11)


def _first(error: ValueError) -> str:
    """The first of pydantic's complaints; its own text would quote the values."""
    found: dict[str, Any] = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
    return ": ".join([".".join(map(str, found["loc"])), str(found["msg"]).partition("\n")[0]]).lstrip(": ")


def model_fit(kind: Any) -> Fit:
    """The fit of a model class: its value must come back equal from its own JSON.

    A model may leave fields out, hide them (SecretStr) or be changed after it was validated; only reading
    it back shows that a worker would get what was given.
    """
    says = an(kind.__name__)

    def looks(value: Any) -> bool:
        return type(value) is kind

    def check(value: Any) -> None:
        if type(value) is not kind:
            wrong(value, says, subclass_hint(value, kind))
        check_held(value, _check_leaf)
        try:
            back = load_model(kind, dump_model(value))
        except ValueError as error:
            raise Misfit(f"cannot be read back from its own JSON ({error})") from None
        if not same(back, value):
            raise Misfit(
                "does not come back equal from its own JSON, as if it had excluded or secret fields",
                "Pass plain data, or its id.",
            )

    return Fit(says, looks, check, proof=True)


def subclass_hint(value: object, kind: type) -> str | None:
    """Why an instance of a subclass is refused; None for any other value."""
    if isinstance(value, kind):
        return f"A worker reads {an(kind.__name__)}, so what the subclass adds would be lost."
    return None


def _check_leaf(value: Any) -> None:
    """No naive datetime, no NaN: a model's own rules may know neither."""
    if isinstance(value, datetime):
        check_datetime(value)
    elif isinstance(value, float):
        check_float(value)
