"""Effects, sources and sinks of other packages, by entry points or by a call.

A package declares them in its pyproject.toml:

    [project.entry-points."vcam.effects"]
    pixelate = "my_package:PIXELATE"
"""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from typing import Generic, TypeVar, cast

from vcam.errors import UsageError

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9_-]+")


class Plugins(Generic[T]):
    """The entries that other packages add to one table.

    Args:
        group: entry point group, for instance "vcam.effects".
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._registered: dict[str, T] = {}

    def register(self, name: str, value: T, taken: bool) -> None:
        """Add `value` under a name for the lifetime of this process.

        Args:
            name: at least two characters: a-z, 0-9, "_" and "-".
            value: the object that an entry point would name.
            taken: vcam itself uses that name.

        Raises:
            UsageError: the name is taken or invalid.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{self._group}: {name!r} is no name; use a-z, 0-9, _ and -")
        if taken or name in self._registered:
            raise UsageError(f"{self._group}: the name {name!r} is taken; choose another one")
        self._registered[name] = value

    def find(self, name: str) -> T | None:
        """Find an added entry by name; None if there is none.

        Raises:
            UsageError: it cannot be imported.
        """
        if name in self._registered:
            return self._registered[name]
        for point in _entry_points(self._group) if _NAME.fullmatch(name) else ():
            if point.name == name:
                try:
                    return cast(T, point.load())
                except Exception as error:
                    raise UsageError(
                        f"{self._group}: {name!r} ({point.value}) cannot be imported: {error};"
                        " reinstall or remove the package that brings it"
                    ) from error
        return None

    def names(self) -> list[str]:
        """List the names of all added entries."""
        return sorted({*self._registered, *(point.name for point in _entry_points(self._group))})


@cache
def _entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))
