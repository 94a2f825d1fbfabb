"""The verdict of a check: a state, the reason, and the commands that fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state found by a check. A problem prevents vcam from working as a camera; a warning may.
    The others need no action.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Fix:
    """One command that fixes a problem.

    command: without `sudo`; quoted for a shell. root: it needs root.
    by_hand: `--fix` never runs it, because it asks questions, installs a lot, or is a choice.
    """

    command: str
    root: bool = False
    by_hand: bool = False

    @property
    def typed(self) -> str:
        """The command as a user types it."""
        return f"sudo {self.command}" if self.root else self.command


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one check; `fixes` are in the order to run them."""

    state: State
    reason: str
    fixes: tuple[Fix, ...] = ()


def ok(reason: str) -> Verdict:
    """All is well."""
    return Verdict(State.OK, reason)


def skipped(reason: str) -> Verdict:
    """The check does not apply here."""
    return Verdict(State.SKIPPED, reason)


def unknown(reason: str, *fixes: Fix) -> Verdict:
    """It cannot be determined."""
    return Verdict(State.UNKNOWN, reason, fixes)


def warning(reason: str, *fixes: Fix) -> Verdict:
    """It works, or may, but not as well as it should."""
    return Verdict(State.WARNING, reason, fixes)


def problem(reason: str, *fixes: Fix) -> Verdict:
    """It does not work."""
    return Verdict(State.PROBLEM, reason, fixes)
