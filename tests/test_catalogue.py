"""Engines at hand: found, verified, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogues import write_catalogue
from vcam.catalogue import DEFAULT_ENGINE, find_engine, read_catalogue, shipped_engines
from vcam.errors import EngineError, UsageError


def test_an_engine_is_found_by_name_and_verified(tmp_path: Path) -> None:
    spec = find_engine("green_fp32", [write_catalogue(tmp_path)])
    assert (spec.model, spec.precision, spec.task, spec.size) == (
        "green",
        "fp32",
        "person",
        (32, 32),
    )
    assert spec.classes == ("room", "person")
    assert spec.about["licence"] == "Apache-2.0"
    assert spec.verify() == tmp_path / "green" / "green_fp32.onnx"


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    spec = find_engine("green_fp32", [write_catalogue(tmp_path)])
    spec.path.write_bytes(spec.path.read_bytes() + b"\0")
    with pytest.raises(
        EngineError, match=r"green_fp32\.onnx: sha256 is .*; the file is damaged or changed"
    ):
        spec.verify()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    spec = find_engine("green_fp32", [write_catalogue(tmp_path)])
    spec.path.unlink()
    with pytest.raises(EngineError, match="No such file"):
        spec.verify()


def test_an_unknown_engine_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown engine 'blue_fp32'; known: green_fp32"):
        find_engine("blue_fp32", [write_catalogue(tmp_path)])


@pytest.mark.parametrize(
    ("precisions", "found"), [(("fp16", "fp32"), "green_fp32"), (("fp16",), "green_fp16")]
)
def test_a_models_name_alone_will_do(
    tmp_path: Path, precisions: tuple[str, ...], found: str
) -> None:
    assert find_engine("green", [write_catalogue(tmp_path, precisions=precisions)]).name == found


def test_the_users_catalogue_comes_first(tmp_path: Path) -> None:
    first, second = write_catalogue(tmp_path / "a"), write_catalogue(tmp_path / "b")
    assert find_engine("green_fp32", [first, second]).path.is_relative_to(first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("task = ", "tusk = "), "task is missing"),
        (("height = 32", "height = 'tall'"), "a whole number from 1 to 8192"),
        (('name = "green', 'name = "../green'), "a name of letters, digits"),
        (('task = "person"', 'task = "dog"'), "task = 'dog': it must be one of person, face"),
        (('model = "green"', "model = "), "not TOML"),
    ],
)
def test_a_broken_engine_toml_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    file = write_catalogue(tmp_path) / "green" / "engine.toml"
    file.write_text(file.read_text().replace(*change))
    with pytest.raises(EngineError, match=message) as caught:
        read_catalogue(tmp_path)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such folder"):
        read_catalogue(tmp_path / "nowhere")
    with pytest.raises(EngineError, match=r"no <model>/engine\.toml"):
        read_catalogue(tmp_path)


def test_the_shipped_engines_are_what_their_descriptions_say() -> None:
    specs = read_catalogue(shipped_engines())
    assert DEFAULT_ENGINE in [spec.name for spec in specs]
    for spec in specs:
        assert spec.verify().exists()
        assert spec.path.with_name("CARD.md").exists()
