"""TFLite operators become ONNX ones that answer alike, and the published face networks answer as in
LiteRT.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from export.engine.faces import (
    RELATIVE_LIMIT,
    FaceConvertConfig,
    check_litert,
    convert_faces,
    read_published,
)
from export.errors import ExportError
from export.evaluation.scenes import own_pictures
from export.onnx.face_engines import FACE_ENGINES, anchor_centres
from export.onnx.from_tflite import GraphWriter, Translation
from export.onnx.parity import cpu_session
from export.weights.tflite import TfliteGraph, TfliteOperator, TfliteTensor
from tests.data import SHARED, why_absent
from vcam.catalogue import read_catalogue, shipped_engines

pytestmark = pytest.mark.slow

TASK_FILE = SHARED / "data" / "teachers" / "face_landmarker_v2.task"
_CONV = {"StrideH": 2, "StrideW": 2, "Padding": 0, "FusedActivationFunction": 0}


def _answer(network: TfliteGraph, image: np.ndarray) -> np.ndarray:
    """The network's only output for uint8 [1, H, W, 3], by way of ONNX Runtime."""
    writer = GraphWriter()
    pixels = writer.add("Transpose", writer.add("Cast", "image", to=1), perm=(0, 3, 1, 2))
    name = Translation(network, writer, pixels).output(network.outputs[0])
    writer.add("Identity", name, output="answer")
    shape = network.tensors[network.outputs[0]].shape
    shown = tuple(shape[i] for i in (0, 3, 1, 2)) if len(shape) == 4 else shape
    model = writer.model((image.shape[1], image.shape[2]), [("answer", shown)])
    (answer,) = cpu_session(model.SerializeToString()).run(None, {"image": image})
    return np.asarray(answer)


def _network(
    kind: str,
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    constants: tuple[np.ndarray, ...] = (),
    options: dict[str, Any] | None = None,
) -> TfliteGraph:
    tensors = [TfliteTensor(str(i), s, np.dtype("f4"), None) for i, s in enumerate(sizes)]
    tensors += [TfliteTensor(f"c{i}", c.shape, c.dtype, c) for i, c in enumerate(constants)]
    inputs = (0, *range(2, 2 + len(constants)))
    operator = TfliteOperator(kind, inputs, (1,), options or {})
    return TfliteGraph(tuple(tensors), (operator,), (0,), (1,))


def _image(height: int = 8, width: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8)


def _torch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32)).permute(0, 3, 1, 2)


def test_the_odd_pixel_of_same_padding_lies_at_the_end() -> None:
    rng, image = np.random.default_rng(2), _image()
    weights, bias = rng.normal(size=(5, 3, 3, 3)).astype("f4"), rng.normal(size=5).astype("f4")
    found = _answer(
        _network("CONV_2D", ((1, 8, 6, 3), (1, 4, 3, 5)), (weights, bias), _CONV), image
    )
    padded = functional.pad(_torch(image), (0, 1, 0, 1))
    kernel = torch.from_numpy(weights).permute(0, 3, 1, 2)
    wanted = functional.conv2d(padded, kernel, torch.from_numpy(bias), stride=2)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-2)


def test_a_depthwise_convolution_and_its_fused_relu() -> None:
    rng, image = np.random.default_rng(3), _image()
    weights, bias = rng.normal(size=(1, 3, 3, 3)).astype("f4"), rng.normal(size=3).astype("f4")
    options = _CONV | {"StrideH": 1, "StrideW": 1, "Padding": 1, "FusedActivationFunction": 1}
    found = _answer(
        _network("DEPTHWISE_CONV_2D", ((1, 8, 6, 3), (1, 6, 4, 3)), (weights, bias), options), image
    )
    kernel = torch.from_numpy(weights).permute(3, 0, 1, 2)
    wanted = functional.conv2d(_torch(image), kernel, torch.from_numpy(bias), groups=3).relu()
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-2)
    assert found.min() == 0


def test_slopes_beyond_one_and_below_zero() -> None:
    image = _image()
    slopes = np.array([[[-5.8, 0.25, 13.4]]], "f4")
    shifted = np.full((3, 1, 1, 3), -1.0, "f4") * np.eye(3, dtype="f4").reshape(3, 1, 1, 3)
    tensors = (
        TfliteTensor("x", (1, 8, 6, 3), np.dtype("f4"), None),
        TfliteTensor("minus", (1, 8, 6, 3), np.dtype("f4"), None),
        TfliteTensor("y", (1, 8, 6, 3), np.dtype("f4"), None),
        TfliteTensor("w", shifted.shape, shifted.dtype, shifted),
        TfliteTensor("b", (3,), np.dtype("f4"), np.full(3, 100, "f4")),
        TfliteTensor("slope", slopes.shape, slopes.dtype, slopes),
    )
    operators = (
        TfliteOperator("CONV_2D", (0, 3, 4), (1,), _CONV | {"StrideH": 1, "StrideW": 1}),
        TfliteOperator("PRELU", (1, 5), (2,)),
    )
    found = _answer(TfliteGraph(tensors, operators, (0,), (2,)), image)
    x = 100 - image.astype(np.float32)
    wanted = np.where(x >= 0, x, slopes * x).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def test_further_channels_are_zeros_and_depth_to_space_keeps_blocks_before_channels() -> None:
    image = _image()
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, 2]], "i4")
    found = _answer(_network("PAD", ((1, 8, 6, 3), (1, 8, 6, 5)), (pads,)), image)
    assert (found[0, :3] == image[0].transpose(2, 0, 1)).all()
    assert not found[0, 3:].any()
    pads = np.array([[0, 0], [0, 0], [0, 0], [0, 5]], "i4")
    tensors = (
        TfliteTensor("x", (1, 8, 6, 3), np.dtype("f4"), None),
        TfliteTensor("wide", (1, 8, 6, 8), np.dtype("f4"), None),
        TfliteTensor("y", (1, 16, 12, 2), np.dtype("f4"), None),
        TfliteTensor("pads", pads.shape, pads.dtype, pads),
    )
    operators = (
        TfliteOperator("PAD", (0, 3), (1,)),
        TfliteOperator("DEPTH_TO_SPACE", (1,), (2,), {"BlockSize": 2}),
    )
    found = _answer(TfliteGraph(tensors, operators, (0,), (2,)), image)
    assert (found[0, :, ::2, ::2] == image[0, ..., :2].transpose(2, 0, 1)).all()
    assert (found[0, 0, ::2, 1::2] == image[0, ..., 2]).all()
    assert not found[0, :, 1::2].any()


def test_an_unknown_operator_is_one_line() -> None:
    with pytest.raises(ExportError, match="operator LSTM; known are ADD"):
        _answer(_network("LSTM", ((1, 8, 6, 3), (1, 8, 6, 3))), _image())


def test_anchors_go_row_by_row_and_those_of_a_cell_lie_together() -> None:
    centres = anchor_centres(((16, 2), (8, 6)))
    assert centres.shape == (896, 2)
    assert centres[:3].tolist() == [[0.03125, 0.03125], [0.03125, 0.03125], [0.09375, 0.03125]]
    assert centres[32].tolist() == [0.03125, 0.09375]
    assert centres[512:518].tolist() == [[0.0625, 0.0625]] * 6


@pytest.mark.parametrize("name", ["face_detector", "face_mesh"])
def test_the_shipped_engines_answer_as_the_published_files_in_litert(name: str) -> None:
    if not TASK_FILE.is_file():
        pytest.skip(why_absent(TASK_FILE))
    pytest.importorskip("ai_edge_litert")
    engine = FACE_ENGINES[name]
    (spec,) = (s for s in read_catalogue(shipped_engines()) if s.name == f"{name}_fp32")
    images = own_pictures((engine.side, engine.side), 8)
    model = onnx.load(spec.verify())
    parity = check_litert(engine, read_published(engine, TASK_FILE), model, images)
    assert parity.relative_max < RELATIVE_LIMIT
    assert spec.task == engine.task


def test_a_conversion_gives_the_shipped_bytes(tmp_path: Path) -> None:
    if not TASK_FILE.is_file():
        pytest.skip(why_absent(TASK_FILE))
    pytest.importorskip("ai_edge_litert")
    out = convert_faces(
        FaceConvertConfig(FACE_ENGINES["face_detector"], TASK_FILE, tmp_path / "face_detector")
    )
    shipped = shipped_engines() / "face_detector"
    for name in ("face_detector_fp32.onnx", "face_detector_fp16.onnx"):
        assert (out / name).read_bytes() == (shipped / name).read_bytes()


def test_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    engine = FACE_ENGINES["face_mesh"]
    missing, text, archive = tmp_path / "no", tmp_path / "text", tmp_path / "other.task"
    text.write_text("<html>")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("pose.tflite", b"")
    wrong = tmp_path / "wrong.tflite"
    wrong.write_bytes(b"\0\0\0\0TFL3")
    for path, words in (
        (missing, "No such file"),
        (text, "neither a .tflite file nor an archive"),
        (archive, "holds no face_landmarks_detector.tflite"),
        (wrong, "not the published face_landmarks_detector.tflite"),
    ):
        with pytest.raises(ExportError, match=words) as caught:
            read_published(engine, path)
        assert "\n" not in str(caught.value)
