"""The root of all errors of dutiful's: a sentence, a code for good, and a hint of what to type."""

from __future__ import annotations


class DutifulError(Exception):
    """The root: ``except DutifulError`` catches all that dutiful raises by itself."""

    code = "DE000"
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    @property
    def message(self) -> str:
        """The one sentence, without code and hint."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (isolation="process"); keyword-only fields would not.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(kind: type[DutifulError], args: tuple[object, ...], fields: dict[str, object]) -> DutifulError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error
