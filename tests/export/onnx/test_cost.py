from __future__ import annotations

import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from export.models import find_model
from export.onnx.cost import cost_of
from export.onnx.graph import engine_graph


@pytest.mark.parametrize("name", ["portraitnet", "segformer_b0"])
@pytest.mark.slow
def test_counts_are_those_of_torch(name: str) -> None:
    spec = find_model(name)
    network = spec.build().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 96))
    cost = cost_of(engine_graph(network, spec, (64, 96), fold=False))
    assert cost.multiply_adds == pytest.approx(counter.get_total_flops() / 2, rel=0.02)
    learnt = sum(x.numel() for x in network.parameters())
    assert cost.parameters == pytest.approx(learnt, rel=0.05)


def test_open_sizes_are_refused() -> None:
    node = helper.make_node("MatMul", ["x", "y"], ["z"], "product")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([node], "open", [x, y], [z])
    with pytest.raises(ValueError, match="MatMul product: its shapes are not fixed"):
        cost_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
