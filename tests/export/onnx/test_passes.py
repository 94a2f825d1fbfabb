from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.onnx.passes import fold_scale, pool_means, rewrite_prelu, strip, widen_gates

_SLOPES = [-0.7, 0.0, 0.25, 0.999, 1.0, 1.6]


def _graph(slope: NDArray[np.float32], shape: list[int]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "a"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(slope, "a")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    y: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return y


@pytest.mark.parametrize(
    ("slope_shape", "shape", "kinds"),
    [
        ([6, 1, 1], [1, 6, 5, 7], {"Conv", "Relu", "Add"}),
        ([1, 6, 1, 1], [1, 6, 5, 7], {"Conv", "Relu", "Add"}),
        ([6], [1, 6], {"Mul", "Relu", "Add"}),
    ],
)
def test_prelu_keeps_its_numbers(slope_shape: list[int], shape: list[int], kinds: set[str]) -> None:
    model = _graph(np.array(_SLOPES, np.float32).reshape(slope_shape), shape)
    x = np.random.default_rng(0).normal(0, 3, shape).astype(np.float32)
    before = _run(model, x)
    assert rewrite_prelu(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == kinds
    assert [item.name for item in model.graph.initializer if item.name == "a"] == []
    np.testing.assert_allclose(_run(model, x), before, atol=2e-6)


def test_slopes_up_to_one_need_no_sign() -> None:
    model = _graph(np.array([0.1, 1.0], np.float32).reshape(2, 1, 1), [1, 2, 3, 3])
    rewrite_prelu(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Conv", "Relu", "Add"]


def test_one_slope_for_all_channels() -> None:
    model = _graph(np.array([[[1.3]]], np.float32), [1, 4, 3, 3])
    x = np.linspace(-2, 2, 36, dtype=np.float32).reshape(1, 4, 3, 3)
    before = _run(model, x)
    rewrite_prelu(model)
    np.testing.assert_allclose(_run(model, x), before, atol=2e-6)


def test_strip_removes_where_the_graph_was_made() -> None:
    model = _graph(np.ones((2, 1, 1), np.float32), [1, 2, 3, 3])
    model.graph.node[0].doc_string = "secret/path.py"
    model.graph.node[0].metadata_props.add(key="trace", value="secret/path.py")
    strip(model)
    assert b"secret" not in model.SerializeToString()


def _gated() -> onnx.ModelProto:
    """uint8-like pixels, scaled, a convolution, and its channels weighed by their own mean."""
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["less"]),
        helper.make_node("Div", ["less", "std"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c", "axes"], ["m"], keepdims=1),
        helper.make_node("Sigmoid", ["m"], ["g"]),
        helper.make_node("Mul", ["c", "g"], ["y"]),
    ]
    constants = {
        "mean": np.zeros((1, 3, 1, 1), np.float32),
        "std": np.array([255, 128, 64], np.float32).reshape(1, 3, 1, 1),
        "w": rng.normal(0, 1, (4, 3, 3, 3)).astype(np.float32),
        "b": rng.normal(0, 1, 4).astype(np.float32),
        "axes": np.array([2, 3]),
    }
    graph = helper.make_graph(
        nodes,
        "gated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_passes_for_gates_keep_the_numbers() -> None:
    model = _gated()
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 6, 8)).astype(np.float32)
    before = _run(model, x)
    assert pool_means(model) == 1
    assert widen_gates(model) == 1
    assert fold_scale(model)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["Conv", "AveragePool", "GlobalAveragePool", "Sigmoid", "Resize", "Mul"]
    np.testing.assert_allclose(_run(model, x), before, rtol=1e-5, atol=1e-5)


def test_a_mean_that_padding_would_see_is_not_folded() -> None:
    model = _gated()
    mean = next(item for item in model.graph.initializer if item.name == "mean")
    mean.CopyFrom(numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "mean"))
    assert not fold_scale(model)
    assert [node.op_type for node in model.graph.node][:2] == ["Sub", "Div"]
