"""Tiny real engines: ONNX graphs of the engine contract, made without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from vcam.catalogue import EngineSpec


def write_person_engine(path: Path, size: tuple[int, int] = (32, 32), bad_output: bool = False) -> None:
    """An ONNX file that calls the green channel alpha."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    height, width = size
    image = helper.make_tensor_value_info("image", tensor.UINT8, [1, height, width, 3])
    name = "probs" if bad_output else "alpha"
    alpha = helper.make_tensor_value_info(name, tensor.UINT8, [1, height, width])
    index = helper.make_tensor("index", tensor.INT64, [], [1])
    node = helper.make_node("Gather", ["image", "index"], [name], axis=3)
    graph = helper.make_graph([node], "green", [image], [alpha], [index])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_catalogue(
    folder: Path, size: tuple[int, int] = (32, 32), bad_output: bool = False, precisions: Sequence[str] = ("fp32",)
) -> Path:
    """A catalogue with the one engine green_fp32, or with others of the model green; returns its folder."""
    model = folder / "green"
    model.mkdir(parents=True)
    text = f"""
model = "green"
task = "person"
classes = ["room", "person"]
licence = "Apache-2.0"

[input]
height = {size[0]}
width = {size[1]}
"""
    for precision in precisions:
        path = model / f"green_{precision}.onnx"
        write_person_engine(path, size, bad_output)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text += f'\n[[file]]\nname = "{path.name}"\nprecision = "{precision}"\nsha256 = "{digest}"\n'
    (model / "engine.toml").write_text(text)
    return folder


def spec_of(path: Path, size: tuple[int, int] = (32, 32)) -> EngineSpec:
    """The engine that an ONNX file is, `<model>_<precision>.onnx`; it need not exist."""
    model, _, precision = path.stem.rpartition("_")
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    return EngineSpec(path.stem, model, precision, "person", path, digest, size, ("room", "person"))
