"""What a check says: a state, the reason, and the commands that fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How something is. A problem keeps vcam from its work as a camera; a warning may. The others
    need nobody.
    """

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Fix:
    """One command that fixes.

    command: without `sudo`; words are quoted as a shell wants them. root: only root may run it.
    by_hand: never run by `--fix`, because it asks something, installs much, or is a choice.
    """

    command: str
    root: bool = False
    by_hand: bool = False

    @property
    def typed(self) -> str:
        """What a person types."""
        return f"sudo {self.command}" if self.root else self.command


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check; `fixes` in the order in which they are to be run."""

    state: State
    reason: str
    fixes: tuple[Fix, ...] = ()


def ok(reason: str) -> Verdict:
    """All is well."""
    return Verdict(State.OK, reason)


def skipped(reason: str) -> Verdict:
    """There is nothing to be checked here."""
    return Verdict(State.SKIPPED, reason)


def unknown(reason: str, *fixes: Fix) -> Verdict:
    """It cannot be told from here."""
    return Verdict(State.UNKNOWN, reason, fixes)


def warning(reason: str, *fixes: Fix) -> Verdict:
    """It works, or may, but not as well as it should."""
    return Verdict(State.WARNING, reason, fixes)


def problem(reason: str, *fixes: Fix) -> Verdict:
    """It does not work."""
    return Verdict(State.PROBLEM, reason, fixes)
