"""Parameters of effects: one declaration for the command line, the settings file, the page and all
checks.

Does not import a picture library, so listing effects is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vcam.errors import UsageError

Kind = Literal["number", "color", "file", "switch", "choice", "text"]

COLORS = {
    "black": "#000000",
    "blue": "#0000ff",
    "gray": "#808080",
    "green": "#00ff00",
    "grey": "#808080",
    "magenta": "#ff00ff",
    "red": "#ff0000",
    "white": "#ffffff",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of an effect.

    name: lower case, as users write it.
    kind: "number", "color" (#rrggbb or one of `names`), "file" (a path), "switch" (on or off),
        "choice" (one of `names`), "text".
    help: one plain clause.
    default: as users write it; None: the value is required.
    example: the initial value on a page if there is no default.
    least, most, step, unit: for numbers.
    names: colours with their codes, or choices with their labels.
    """

    name: str
    kind: Kind
    help: str
    default: float | str | bool | None = None
    example: float | str | None = None
    least: float = 0.0
    most: float = 1.0
    step: float = 0.01
    unit: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def required(self) -> bool:
        """Whether the value is required."""
        return self.default is None

    def plain(self, value: object) -> Any:
        """Convert text or JSON to a checked JSON value: a number, a bool or text.

        Raises:
            UsageError: the value is invalid; the message says what is valid.
        """
        match self.kind:
            case "number":
                return self._number(value)
            case "switch":
                return self._switch(value)
            case "color":
                return self._color(value)
            case "choice":
                return self._choice(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise UsageError(
                f"{self.name} {_shown(value)} is no {self.kind}; write"
                f" {self.name}={self.name.upper()}"
            )
        return value

    def parse(self, value: object) -> Any:
        """Convert text or JSON to the effect's own type: a number, a bool, (R, G, B) or a Path.

        Raises:
            UsageError: see `plain`.
        """
        plain = self.plain(value)
        if self.kind == "color":
            return int(plain[1:3], 16), int(plain[3:5], 16), int(plain[5:7], 16)
        return Path(plain) if self.kind == "file" else plain

    def schema(self) -> dict[str, Any]:
        """Return it as a JSON Schema (draft 2020-12) property, with `x-kind`, `x-unit` and
        `x-names` for pages.
        """
        about: dict[str, Any] = {"description": self.help, "x-kind": self.kind}
        match self.kind:
            case "number":
                about |= {
                    "type": "number",
                    "minimum": self.least,
                    "maximum": self.most,
                    "x-step": self.step,
                }
            case "switch":
                about |= {"type": "boolean"}
            case "choice":
                about |= {"type": "string", "enum": list(self.names)}
            case "color":
                about |= {"type": "string", "x-pattern": "#rrggbb or a name"}
            case _:
                about |= {"type": "string"}
        if self.unit:
            about["x-unit"] = self.unit
        if self.names:
            about["x-names"] = dict(self.names)
        if self.default is not None:
            about["default"] = self.plain(self.default)
        elif self.example is not None:
            about["x-example"] = self.plain(self.example)
        return about

    def _number(self, value: object) -> float:
        try:
            number = float("nan") if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = float("nan")
        if not self.least <= number <= self.most:
            hint = self.default if self.default is not None else (self.least + self.most) / 2
            unit = f" {self.unit}" if self.unit else ""
            raise UsageError(
                f"{self.name} {_shown(value)} is not a number from {self.least:g} to"
                f" {self.most:g}{unit}; try {hint:g}"
            )
        return number

    def _switch(self, value: object) -> bool:
        word = str(value).lower() if isinstance(value, str | bool) else ""
        if word in ("on", "true", "yes", "1"):
            return True
        if word in ("off", "false", "no", "0"):
            return False
        raise UsageError(f"{self.name} {_shown(value)} is neither on nor off; write {self.name}=on")

    def _color(self, value: object) -> str:
        text = value if isinstance(value, str) else ""
        code = self.names.get(text.lower(), text)
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", code):
            names = ", ".join(self.names)
            raise UsageError(
                f"{self.name} {_shown(value)} is not #rrggbb and none of {names}; try"
                f" '{next(iter(self.names))}'"
            )
        return code.lower()

    def _choice(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise UsageError(
                f"{self.name} {_shown(value)} is not known; known: {', '.join(self.names)}"
            )
        return value


def strength(default: float) -> Param:
    """A strength parameter, 0 to 1."""
    return Param("strength", "number", "0 is nothing, 1 is all", default)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]}..."
