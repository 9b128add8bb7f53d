"""What a drill has found, as text for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Result = Literal["clean", "findings", "not comparable"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The shortest story of one scenario's kind, and what to do."""

    scenario: str
    title: str
    story: str
    differs: str
    why: str
    fix: str
    rule: str


@dataclass
class Report:
    """The outcome of one drill."""

    task: str
    app: str
    findings: list[Finding] = field(default_factory=list)
    why: str = ""
    """Why nothing can be compared; empty if it can."""
    counts: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    boundaries: int = 0
    transactions: int = 0
    calls: int = 0
    runs: int = 0
    wanted: int = 0
    """How many scenarios were chosen; those that could not take place are not counted as done."""
    seconds: float = 0.0
    masked: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    process: bool = False
    engine: str = ""
    """On which kind of database it was drilled."""

    @property
    def result(self) -> Result:
        """In one word, or three."""
        if self.why:
            return "not comparable"
        return "findings" if self.findings else "clean"

    @property
    def scenarios(self) -> int:
        """How many scenarios took place."""
        return self.counts.total()

    def count(self, name: str) -> None:
        """One more scenario of that kind took place."""
        self.counts[name] += 1

    def add(self, finding: Finding) -> None:
        """Keep the first story of each kind of scenario: kinds are tried shortest first."""
        self.failed[finding.scenario] += 1
        if all(one.scenario != finding.scenario for one in self.findings):
            self.findings.append(finding)

    def document(self) -> dict[str, Any]:
        """The fields of the one JSON document."""
        return {
            "task": self.task,
            "result": self.result,
            "why": self.why,
            "findings": [asdict(one) for one in self.findings],
            "scenarios": {
                name: {"played": n, "failed": self.failed[name]} for name, n in self.counts.items()
            },
            "coverage": {
                "boundaries": self.boundaries,
                "transactions": self.transactions,
                "calls": self.calls,
                "runs": self.runs,
                "seconds": round(self.seconds, 2),
                "masked": self.masked,
                "accepted": self.accepted,
                "unseen": self.unseen,
                "files": self.files,
                "process": self.process,
            },
        }

    def text(self) -> str:
        """For people."""
        lines = [f"{self.task}: {self.result}" + (f". {self.why}" if self.why else "")]
        for one in self.findings:
            lines += ["", f"{self.task}   {one.title}   {one.story}", f"    {one.differs}"]
            lines += [f"    why: {one.why}"] if one.why else []
            rule = f"   rule {one.rule}" if one.rule else ""
            lines += [f"    fix: {one.fix}{rule}"] if one.fix else []
        played = ", ".join(
            f"{name} {n}" + (f" ({self.failed[name]} failed)" if self.failed[name] else "")
            for name, n in self.counts.items()
        )
        if played:
            lines += ["", f"scenarios: {played}"]
        new = [name for name in self.masked if name not in self.accepted]
        masked = ", ".join(self.masked) or "none"
        if new:
            masked += f" (a hole each; if that is right: volatile={new!r})"
        lines.append(
            f"coverage: {count(self.boundaries, 'boundary', 'boundaries')}, "
            f"{count(self.transactions, 'transaction')}, {count(self.calls, 'call')}; "
            f"{count(self.runs, 'run')}, {self.seconds:.1f} s; masked: {masked}; "
            f"unseen I/O: {', '.join(self.unseen) or 'none'}"
        )
        if self.files:
            lines.append(f"files written, and compared: {', '.join(self.files)}")
        return "\n".join(lines)


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
