from __future__ import annotations

import tomllib
from typing import Any

import pytest

from export.engine import toml


@pytest.mark.parametrize(
    "document",
    [
        {},
        {
            "a": 1,
            "b": -2.5e-05,
            "c": True,
            "d": False,
            "e": 'quotes " and \\ and\nlines\x7f',
            "f": "ümläut",
        },
        {"list": ["x", "y"], "numbers": [1, 2.5], "empty": []},
        {"table": {"a": 1, "inner": {"b": 2}}, "needs quotes": 1, "": 2},
        {"file": [{"name": "a", "parity": {"images": 8}}, {"name": "b"}], "last": 1},
    ],
)
def test_round_trip(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dumps(document)) == document


def test_none_is_refused() -> None:
    with pytest.raises(TypeError, match="None cannot be written as TOML"):
        toml.dumps({"a": None})
