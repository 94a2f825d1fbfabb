"""Read TOML files from untrusted writers: with bounds, and a type check for every value."""

from __future__ import annotations

import datetime
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcam.files import read_bounded
from vcam.text import one_line

MOST_BYTES = 1 << 20


class TomlError(ValueError):
    """A file is not TOML, or a value has the wrong type; one line with the file, the place and the
    value, without the next step.
    """


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. A leading byte order mark, as Windows editors write it, is skipped.

    Raises:
        OSError: it cannot be read, is not a regular file, or is larger than a megabyte.
        TomlError: it is not TOML.
    """
    try:
        return tomllib.loads(read_bounded(path, MOST_BYTES).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TomlError(
            f"{path}: not TOML (byte {error.start} is not UTF-8); save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"{path}: not TOML ({one_line(error)})") from error
    except RecursionError as error:
        raise TomlError(f"{path}: not a usable TOML file (nested too deeply)") from error


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file. Methods raise TomlError if the value is missing or has another type.

    path: of the file. name: of the table, as in its brackets; empty for top-level keys.
    """

    path: Path
    name: str
    values: dict[str, Any]

    def text(self, key: str) -> str:
        """A non-empty text."""
        value = self._value(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text that is not empty")
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        """A whole number in a range."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str) -> float:
        """A number, whole or not."""
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(key, "a number")
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def table(self, key: str) -> Table:
        """The table [key]."""
        value = self._value(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return Table(self.path, f"{self.name}.{key}" if self.name else key, value)

    def tables(self, key: str) -> list[Table]:
        """The tables [[key]], at least one."""
        value = self._value(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "a list of tables")
        if not value:
            raise self.wrong(key, "a list with a table in it")
        return [Table(self.path, f"{key} {at}", item) for at, item in enumerate(value, 1)]

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise TomlError(f"{self._place(key)} is missing")
        return self.values[key]

    def wrong(self, key: str, wanted: str) -> TomlError:
        """The error for a value that is not `wanted`."""
        return TomlError(f"{self._place(key)} = {shown(self.values[key])}: it must be {wanted}")

    def _place(self, key: str) -> str:
        return f"{self.path}: {f'[{self.name}] ' if self.name else ''}{key}"


def shown(value: object) -> str:
    """Format a value for messages: short, in TOML style."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return one_line(repr(value), 60)
