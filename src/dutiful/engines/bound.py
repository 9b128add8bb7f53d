"""Operations in the transaction that a caller has open on a connection of theirs."""

from __future__ import annotations

from .contract import Engine, Runner


def bind(engine: Engine, connection: object) -> Runner:
    raise NotImplementedError
