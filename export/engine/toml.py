"""Write TOML: tables, arrays of tables and plain values, which is all that `engine.toml` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dumps(document: Mapping[str, Any]) -> str:
    """The document as TOML text; `tomllib.loads` gives back an equal one.

    Values are str, bool, int, float, lists of these, tables (mappings), and lists of tables.

    Raises:
        TypeError: a value has another type, None among them.
    """
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [
        f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_nested(value)
    ]
    for key, value in table.items():
        if not _is_nested(value):
            continue
        name = ".".join(map(_key, (*path, key)))
        several = isinstance(value, list)
        for item in value if several else [value]:
            lines += ["", f"[[{name}]]" if several else f"[{name}]", *_table(item, (*path, key))]
    return lines


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{value!r} cannot be written as TOML")
