"""Tiny real engines: ONNX graphs of the engine contract, made without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.face.drawing import PAINTS
from vcam.catalogue import EngineSpec
from vcam.frame import FaceClass


def write_person_engine(
    path: Path, size: tuple[int, int] = (32, 32), bad_output: bool = False
) -> None:
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
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )


def write_catalogue(
    folder: Path,
    size: tuple[int, int] = (32, 32),
    bad_output: bool = False,
    precisions: Sequence[str] = ("fp32",),
) -> Path:
    """A catalogue with the one engine green_fp32, or with others of the model green; returns its
    folder.
    """
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
        text += (
            f'\n[[file]]\nname = "{path.name}"\nprecision = "{precision}"\nsha256 = "{digest}"\n'
        )
    (model / "engine.toml").write_text(text)
    return folder


def write_face_catalogue(folder: Path, size: tuple[int, int] = (112, 112)) -> Path:
    """A catalogue with the one engine paint_fp32, which knows the classes of drawn faces by their
    colours.
    """
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    colours = np.array([colour for colour, _ in PAINTS], np.float32)
    classes = np.zeros((len(PAINTS), 9), np.float32)
    classes[np.arange(len(PAINTS)), [which for _, which in PAINTS]] = 255
    image = helper.make_tensor_value_info("image", tensor.UINT8, [1, *size, 3])
    probs = helper.make_tensor_value_info("probs", tensor.UINT8, [1, 9, *size])
    constants = [
        onnx.numpy_helper.from_array(colours, "colours"),
        onnx.numpy_helper.from_array(classes, "classes"),
        onnx.numpy_helper.from_array(np.array([3], np.int64), "axis"),
        onnx.numpy_helper.from_array(np.array([4], np.int64), "last"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["rgb"], to=tensor.FLOAT),
        helper.make_node("Unsqueeze", ["rgb", "axis"], ["wide"]),
        helper.make_node("Sub", ["wide", "colours"], ["far"]),
        helper.make_node("ReduceSumSquare", ["far", "last"], ["distance"], keepdims=0),
        helper.make_node("ArgMin", ["distance"], ["paint"], axis=3, keepdims=0),
        helper.make_node("Gather", ["classes", "paint"], ["hot"], axis=0),
        helper.make_node("Transpose", ["hot"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["probs"], to=tensor.UINT8),
    ]
    model = folder / "paint"
    model.mkdir(parents=True)
    path = model / "paint_fp32.onnx"
    graph = helper.make_graph(nodes, "paint", [image], [probs], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (model / "engine.toml").write_text(f"""
model = "paint"
task = "face"
classes = {[member.name.lower() for member in FaceClass]}
licence = "Apache-2.0"

[input]
height = {size[0]}
width = {size[1]}

[[file]]
name = "{path.name}"
precision = "fp32"
sha256 = "{digest}"
""")
    return folder


def spec_of(path: Path, size: tuple[int, int] = (32, 32)) -> EngineSpec:
    """The engine that an ONNX file is, `<model>_<precision>.onnx`; it need not exist."""
    model, _, precision = path.stem.rpartition("_")
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    return EngineSpec(path.stem, model, precision, "person", path, digest, size, ("room", "person"))
