from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.evaluation.scenes import own_pictures
from export.models import Pixels, find_model
from export.onnx.graph import engine_graph
from export.onnx.half import half_share, to_half
from export.onnx.parity import check_half, check_parity, cpu_session

_SIZE = (64, 96)
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}


@pytest.fixture(scope="module")
def plain() -> onnx.ModelProto:
    """A face network with random weights, of which many are equal: biases of 0, factors of 1."""
    torch.manual_seed(1)
    spec = find_model("segformer_b0")
    return engine_graph(spec.build(), spec, _SIZE, fold=False)


@pytest.mark.slow
def test_the_network_is_half(plain: onnx.ModelProto) -> None:
    half = to_half(plain)
    assert half_share(plain) == 0
    assert half_share(half) > 0.99
    kinds = {item.name: item.data_type for item in half.graph.initializer}
    for node in half.graph.node:
        found = {kinds[name] for name in node.input if name in kinds} & _FLOATS
        if node.op_type in {"LayerNormalization", "Resize"}:
            assert found <= {TensorProto.FLOAT}
        if node.op_type in {"Conv", "MatMul"}:
            assert found <= {TensorProto.FLOAT16}


def test_tensors_stay_uint8(plain: onnx.ModelProto) -> None:
    graph = to_half(plain).graph
    assert [(x.name, x.type.tensor_type.elem_type) for x in (*graph.input, *graph.output)] == [
        ("image", TensorProto.UINT8),
        ("probs", TensorProto.UINT8),
    ]


def test_same_graph_same_bytes(plain: onnx.ModelProto) -> None:
    before = plain.SerializeToString(deterministic=True)
    first, second = (to_half(plain).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert plain.SerializeToString(deterministic=True) == before


def test_shares_sum_to_one(plain: onnx.ModelProto) -> None:
    for model in (plain, to_half(plain)):
        for image in own_pictures(_SIZE, 2):
            probs = cpu_session(model.SerializeToString()).run(None, {"image": image[None]})[0]
            assert (probs.dtype, probs.shape) == (np.uint8, (1, 8, *_SIZE))
            assert np.abs(probs.sum(axis=1, dtype=int) - 255).max() <= 4


def test_it_answers_alike(plain: onnx.ModelProto) -> None:
    parity = check_half(plain, to_half(plain), own_pictures(_SIZE, 8))
    assert (parity.metric, parity.reference, parity.images) == ("agreement", "fp32", 8)
    assert parity.worst <= parity.mean <= 1


def test_other_weights_are_noticed(plain: onnx.ModelProto) -> None:
    other = to_half(plain)
    _scale(other, 0.5)
    with pytest.raises(
        ExportError, match=r"float16 and float32 differ: mean agreement 0\.\d+ \(limit 0\.995\)"
    ):
        check_half(plain, other, own_pictures(_SIZE, 8))


def test_overflow_is_noticed(plain: onnx.ModelProto) -> None:
    broken = to_half(plain)
    _scale(broken, np.inf)
    with pytest.raises(ExportError, match="numbers that are not finite"):
        check_half(plain, broken, own_pictures(_SIZE, 8))


def _scale(model: onnx.ModelProto, factor: float) -> None:
    """Change the weights of the classifier."""
    conv = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    for item in model.graph.initializer:
        if item.name == conv.input[1]:
            values = numpy_helper.to_array(item)
            first = (
                np.where(np.arange(len(values)) < 3, factor, 1)
                .reshape(-1, 1, 1, 1)
                .astype(values.dtype)
            )
            item.CopyFrom(numpy_helper.from_array(values * first, item.name))


def test_nobody_in_the_pictures() -> None:
    torch.manual_seed(1)
    spec = find_model("extremec3")
    network = spec.build().eval()
    room = replace(spec, pixels=Pixels((0.0, 0.0, 0.0), (1e9, 1e9, 1e9)))
    network.get_submodule("classifier.2").weight.data.fill_(-1e-3)  # type: ignore[operator]
    network.get_submodule("classifier.0.bn").bias.data.fill_(1)  # type: ignore[operator]
    plain = engine_graph(network, room, (32, 32), fold=False)
    images = own_pictures((32, 32), 8)
    assert check_parity(network, room, plain, images).output_max <= 1
    with pytest.raises(ExportError, match="a person in none of the pictures"):
        check_half(plain, to_half(plain), images)


def test_own_pictures() -> None:
    images = own_pictures((48, 64), 99)
    assert images.shape == (16, 48, 64, 3)
    np.testing.assert_array_equal(images[1], images[0][:, ::-1])
    assert len({image.tobytes() for image in images}) == 16


def test_weights_shared_by_kept_and_converted_nodes() -> None:
    """The exporter shares equal weights: here one between a layer normalisation and an addition."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["x", "kernel"], ["y"]),
            helper.make_node("LayerNormalization", ["y", "shared"], ["z"]),
            helper.make_node("Add", ["z", "shared"], ["sum"]),
            helper.make_node("Sigmoid", ["sum"], ["share"]),
            helper.make_node("Cast", ["share"], ["alpha"], to=TensorProto.UINT8),
            helper.make_node("Identity", ["share"], ["state_out"]),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 3, 4])],
        [
            helper.make_tensor_value_info("alpha", TensorProto.UINT8, [1, 1, 3, 4]),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [1, 1, 3, 4]),
        ],
        [
            numpy_helper.from_array(np.array([[[[1e6]]]], np.float32), "kernel"),
            numpy_helper.from_array(np.array([0, 1, -1, 0.5], np.float32), "shared"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    for index, node in enumerate(model.graph.node):
        node.name = str(index)
    half = to_half(model)
    image = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4)
    expected, actual = (
        cpu_session(x.SerializeToString()).run(None, {"image": image}) for x in (model, half)
    )
    assert [x.dtype for x in actual] == [np.uint8, np.float32]
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-2)
    [kernel] = [item for item in half.graph.initializer if item.name == "kernel_half"]
    assert numpy_helper.to_array(kernel).item() == np.finfo(np.float16).max
