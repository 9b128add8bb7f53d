"""The outcome for machines: JSON, JUnit, and annotations of GitHub."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from .catalogue import SEVERITIES
from .findings import Outcome

LEVELS = {"E": "error", "W": "warning", "I": "notice"}


def document(outcome: Outcome, code: int) -> dict[str, Any]:
    """The fields of the JSON document ``dutiful/check/1``."""
    return {
        "exit": code,
        "files": outcome.files,
        "lines": outcome.lines,
        "tasks": outcome.tasks,
        "errors": outcome.count("E"),
        "warnings": outcome.count("W"),
        "infos": outcome.count("I"),
        "silenced": outcome.silenced,
        "known": outcome.known,
        "skipped": [{"rule": rule, "needs": needs} for rule, needs in outcome.skipped.items()],
        "unreadable": [{"path": path, "why": why} for path, why in outcome.unreadable.items()],
        "findings": [
            {
                "rule": one.rule,
                "severity": SEVERITIES[one.severity],
                "path": one.path,
                "line": one.line,
                "column": one.column,
                "task": one.task,
                "tasks": one.tasks,
                "system": one.system,
                "why": one.why,
                "fix": one.fix,
                "source": one.source,
            }
            for one in outcome.findings
        ],
    }


def junit(outcome: Outcome, strict: bool) -> str:
    """One test case for each finding that fails, one for each file that could not be read."""
    failing = [one for one in outcome.findings if one.severity == "E" or (strict and one.severity == "W")]
    cases = max(len(failing) + len(outcome.unreadable), 1)
    suite = ElementTree.Element(
        "testsuite",
        name="dutiful check",
        tests=str(cases),
        failures=str(len(failing)),
        errors=str(len(outcome.unreadable)),
    )
    for one in failing:
        name = f"{one.rule} {one.path}:{one.line}"
        case = ElementTree.SubElement(suite, "testcase", classname=one.task or one.path, name=name)
        message = ElementTree.SubElement(case, "failure", type=one.rule, message=one.why)
        message.text = f"{one.path}:{one.line}: {one.why}\nfix: {one.fix}"
    for path, why in outcome.unreadable.items():
        case = ElementTree.SubElement(suite, "testcase", classname=path, name="readable")
        ElementTree.SubElement(case, "error", type="unreadable", message=why)
    if not failing and not outcome.unreadable:
        ElementTree.SubElement(suite, "testcase", classname="dutiful.check", name="clean")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def github(outcome: Outcome) -> list[str]:
    """Workflow commands: GitHub shows them at the lines of a pull request."""
    lines = [
        f"::{LEVELS[one.severity]} file={_property(one.path)},line={one.line},col={one.column},"
        f"title={one.rule}::{_text(f'{one.why}. Fix: {one.fix}')}"
        for one in outcome.findings
    ]
    lines += [
        f"::error file={_property(path)},title=unreadable::{_text(why)}"
        for path, why in outcome.unreadable.items()
    ]
    return lines


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
