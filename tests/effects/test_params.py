"""Parameters are declared once: every way to give a value has the same check."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from vcam.effects import EFFECTS, build_effect, parse_effect
from vcam.effects.params import Param
from vcam.errors import UsageError


@pytest.mark.parametrize("name", EFFECTS)
def test_a_class_takes_what_its_declaration_says_and_has_no_defaults_of_its_own(name: str) -> None:
    spec = EFFECTS[name]
    assert isinstance(spec.target, str)
    module, _, attribute = spec.target.partition(":")
    taken = inspect.signature(getattr(import_module(module), attribute)).parameters
    assert list(taken) == [param.name for param in spec.params]
    assert all(param.default is inspect.Parameter.empty for param in taken.values())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("blur", {}),
        ("blur:0.7", {"strength": 0.7}),
        ("eyes:Blue,strength=.2", {"color": "#5682ab", "strength": 0.2}),
        ("image:a, b=1.png", {"path": "a, b=1.png"}),
    ],
)
def test_text_becomes_values_as_json_takes_them(text: str, values: dict[str, object]) -> None:
    assert parse_effect(text)[1] == values


@pytest.mark.parametrize("value", [True, None, "nan", float("nan"), 1.01, -1, [], "1e999"])
def test_a_number_outside_its_range_is_refused_whatever_its_type(value: object) -> None:
    with pytest.raises(UsageError, match=r"not a number from 0 to 1; try 0\.6"):
        build_effect("blur", {"strength": value})


@pytest.mark.parametrize("value", ["#12345", "#1234567", 7, None, "url(x)"])
def test_a_color_is_a_code_or_a_name(value: object) -> None:
    with pytest.raises(UsageError, match="is not #rrggbb"):
        build_effect("color", {"color": value})


def test_a_switch_says_on_and_off_in_several_words() -> None:
    switch = Param("mirror", "switch", "flip", False)
    assert [switch.plain(v) for v in ("on", True, "yes", "OFF", False, "0")] == [True] * 3 + [
        False
    ] * 3
    with pytest.raises(UsageError, match="neither on nor off"):
        switch.plain("maybe")


def test_the_schema_has_range_unit_default_and_help() -> None:
    schema = EFFECTS["blur"].schema()["properties"]["strength"]
    assert (schema["minimum"], schema["maximum"], schema["default"]) == (0, 1, 0.6)
    assert schema["description"]
    assert EFFECTS["eyes"].schema()["required"] == ["color"]
