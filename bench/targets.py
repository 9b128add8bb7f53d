"""What dutiful means to reach, as a rule that can be written in a cell and checked against figures.

Most are a ratio to the floor of the same run, since an absolute rate says more about the machine. A target
that is missed is shown, and nothing else happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["ratio", "ours", "above floor"]


@dataclass(frozen=True)
class Target:
    """``kind`` says what is compared with ``bound``: ours / floor, ours itself, or ours − floor."""

    kind: Kind
    sign: Literal["≥", "≤"]
    bound: float

    def met(self, ours: float | None, floor: float | None) -> bool | None:
        """None where a figure is missing."""
        if ours is None or (self.kind != "ours" and not floor):
            return None
        value = ours
        if floor and self.kind == "ratio":
            value = ours / floor
        elif floor and self.kind == "above floor":
            value = ours - floor
        return value >= self.bound if self.sign == "≥" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.kind} {self.sign} {self.bound:g}"
