"""Tiny real engines: ONNX graphs of the engine contract, made without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest


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


def write_catalogue(folder: Path, size: tuple[int, int] = (32, 32), bad_output: bool = False) -> Path:
    """A catalogue with the one engine green_fp32; returns its folder."""
    model = folder / "green"
    model.mkdir(parents=True)
    write_person_engine(model / "green_fp32.onnx", size, bad_output)
    digest = hashlib.sha256((model / "green_fp32.onnx").read_bytes()).hexdigest()
    (model / "engine.toml").write_text(
        f"""
model = "green"
task = "person"
classes = ["room", "person"]
licence = "Apache-2.0"

[input]
height = {size[0]}
width = {size[1]}

[[file]]
name = "green_fp32.onnx"
precision = "fp32"
sha256 = "{digest}"
"""
    )
    return folder
