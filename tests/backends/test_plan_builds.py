"""Plans are built by the real TensorRT-RTX, which needs no GPU for that, and are half precision."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.backends.plans import build_plan_of
from vcam.backends.plan_builder import MIN_HALF_SHARE
from vcam.backends.tensorrt_api import TensorRt
from vcam.catalogue import EngineSpec, read_catalogue, shipped_engines
from vcam.errors import EngineError

pytestmark = pytest.mark.gpu_build
HALF = [spec for spec in read_catalogue(shipped_engines()) if spec.precision == "fp16"]


def write_engine(path: Path, half: bool = True, cast_first: bool = True) -> Path:
    """A person engine of a few layers: the mean of the colours, in the wanted precision."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    real = types.FLOAT16 if half else types.FLOAT
    image = helper.make_tensor_value_info("image", types.UINT8, [1, 32, 32, 3])
    alpha = helper.make_tensor_value_info("alpha", types.UINT8, [1, 32, 32])
    axes = helper.make_tensor("axes", types.INT64, [1], [1])
    last = helper.make_tensor("third", real, [1], [1.0])
    cast, turn = (("Cast", {"to": real}), ("Transpose", {"perm": [0, 3, 1, 2]}))
    steps = [cast, turn] if cast_first else [turn, cast]
    nodes = [
        helper.make_node(steps[0][0], ["image"], ["a"], **steps[0][1]),
        helper.make_node(steps[1][0], ["a"], ["b"], **steps[1][1]),
        helper.make_node("ReduceMean", ["b", "axes"], ["c"], keepdims=0),
        helper.make_node("Mul", ["c", "third"], ["d"]),
        helper.make_node("Cast", ["d"], ["alpha"], to=types.UINT8),
    ]
    graph = helper.make_graph(nodes, "mean", [image], [alpha], [axes, last])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )
    return path


@pytest.mark.parametrize("spec", HALF, ids=lambda spec: spec.name)
def test_every_half_precision_engine_of_the_catalogue_builds(
    tensorrt_rtx: TensorRt, spec: EngineSpec
) -> None:
    plan = build_plan_of(tensorrt_rtx, spec.verify())
    assert len(plan.data) > 10_000
    assert plan.half_share >= MIN_HALF_SHARE


def test_a_plan_reports_progress_and_is_half_precision(
    tensorrt_rtx: TensorRt, tmp_path: Path
) -> None:
    shares: list[float] = []
    plan = build_plan_of(
        tensorrt_rtx, write_engine(tmp_path / "mean_fp16.onnx"), on_progress=shares.append
    )
    assert plan.half_share == 1.0
    assert shares == sorted(shares)
    assert 0.5 < shares[-1] <= 1.0
    old = build_plan_of(tensorrt_rtx, write_engine(tmp_path / "mean_fp16.onnx"), capability=(7, 5))
    assert old.data != plan.data


def test_single_precision_under_a_half_precision_name_is_refused(
    tensorrt_rtx: TensorRt, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"mean_fp16\.onnx: only 0% of it is half precision"):
        build_plan_of(tensorrt_rtx, write_engine(tmp_path / "mean_fp16.onnx", half=False))
    assert (
        build_plan_of(
            tensorrt_rtx, write_engine(tmp_path / "mean_fp32.onnx", half=False)
        ).half_share
        == 0
    )


def test_what_does_not_parse_is_one_line(tensorrt_rtx: TensorRt, tmp_path: Path) -> None:
    broken = tmp_path / "broken_fp16.onnx"
    broken.write_bytes(b"this is no graph")
    pixels_moved_first = write_engine(tmp_path / "moved_fp16.onnx", cast_first=False)
    for path, reason in (
        (broken, "finds no network in it"),
        (pixels_moved_first, "does not parse it .*UInt8"),
    ):
        with pytest.raises(EngineError, match=rf"{path.stem}\.onnx: TensorRT {reason}") as caught:
            build_plan_of(tensorrt_rtx, path)
        assert "\n" not in str(caught.value)
        assert "checkMacros" not in str(caught.value)


def test_building_can_be_stopped(tensorrt_rtx: TensorRt, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(EngineError, match="was stopped"):
        build_plan_of(tensorrt_rtx, write_engine(tmp_path / "mean_fp16.onnx"), cancel=cancel)
