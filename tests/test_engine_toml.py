from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from vcam.catalogue import shipped_engines
from vcam.engine_toml import (
    EngineFile,
    EngineManifest,
    Origin,
    PixelFormat,
    read_engine_toml,
)
from vcam.errors import EngineError

tomli_w = pytest.importorskip("tomli_w", reason="tomli-w is not installed; pip install '.[export]'")

_A, _B = "a" * 64, "b" * 64
_FULL = EngineManifest(
    task="person",
    model="portraitnet",
    network="portraitnet_lite",
    classes=("room", "person"),
    size=(224, 320),
    files=(
        EngineFile("p_fp32.onnx", "fp32", _A, "p_fp32", 12, {"logit_max": 1e-5, "images": 32}),
        EngineFile("p_fp16.onnx", "fp16", _B, "p_fp16", 6),
    ),
    licence="Apache-2.0",
    opset=18,
    batch=2,
    memory=True,
    threshold=0.5,
    origin=Origin('published, "them"\n', "easyportrait_v1", 7, ("person/ccp", "größer"), "unclear"),
    pixels=PixelFormat("BGR", (1.5, 2.0, 3.0), (4.0, 5.0, 6.0)),
    quality=({"set": "a", "metric": "iou", "mean": 0.5},),
)


def _read(folder: Path, document: dict[str, Any]) -> EngineManifest:
    path = folder / "engine.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    return read_engine_toml(path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert _read(tmp_path, _FULL.to_dict()) == _FULL


@pytest.mark.parametrize(
    "path", sorted(shipped_engines().glob("*/engine.toml")), ids=lambda x: x.parent.name
)
def test_shipped_documents_lose_nothing(path: Path) -> None:
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    document.setdefault("network", document["model"])
    assert read_engine_toml(path).to_dict() == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "dog"}, "task = 'dog': it must be one of person, face, detect, landmarks"),
        ({"model": 3}, "model = 3: it must be a text"),
        ({"model": "../up"}, "it must be a name of letters"),
        ({"classes": ["room", 2]}, "it must be a list of texts"),
        ({"input": {"height": 224}}, r"\[input\] width is missing"),
        ({"input": {"height": True, "width": 3}}, r"\[input\] height = true: it must be a whole"),
        ({"file": []}, "it must be a list with a table in it"),
        ({"file": [{"name": "x", "precision": "fp32", "sha256": "ab"}]}, "64 hexadecimal digits"),
        ({"detector": {"threshold": "high"}}, "threshold = 'high': it must be a number"),
        ({"pixels": {"order": "RGB", "mean": [1]}}, "mean = .* it must be three numbers"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        _read(tmp_path, _FULL.to_dict() | change)
    assert str(caught.value).startswith(str(tmp_path))
    assert str(caught.value).endswith("; export the engine again")


def test_little_is_needed_to_run(tmp_path: Path) -> None:
    document = {
        "model": "green",
        "task": "person",
        "classes": ["room", "person"],
        "input": {"height": 32, "width": 48},
        "file": [{"name": "green_fp32.onnx", "precision": "fp32", "sha256": _A}],
    }
    manifest = _read(tmp_path, document)
    assert (manifest.size, manifest.batch, manifest.memory) == ((32, 48), 1, False)
    assert manifest.files == (EngineFile("green_fp32.onnx", "fp32", _A),)
