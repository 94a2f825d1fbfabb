"""As much of a network in half precision as it can take."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.errors import ExportError
from export.evaluation.scenes import own_pictures
from export.models import V1_CLASSES, Pixels, find_model
from export.models.spec import ModelSpec
from export.onnx.graph import check_size, engine_graphs
from export.onnx.half import convolutions, half_share, to_half
from export.onnx.parity import Graph, check_parity
from export.onnx.precision import half_graph

_SIZE = (64, 96)


class _Sensitive(nn.Module):
    """Weights of its first layer are large and nearly alike; their differences are the answer."""

    def __init__(self, classes: int, large: float = 300.0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(2)
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1, bias=False) for _ in range(4))
        self.last = nn.Conv2d(3, classes, 1)
        weights = [torch.eye(3)] * 3
        first = large + torch.randn(3, 3, generator=random) / 20
        for layer, weight in zip(self.layers, [first, *weights], strict=True):
            layer.get_parameter("weight").data = weight[:, :, None, None].clone()
        sides = torch.randint(-8, 9, (classes, 3, 1, 1), generator=random).float()
        self.last.weight.data = sides - sides[:, [1, 2, 0]]  # each row sums to 0

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.last(x)  # type: ignore[no-any-return]


_PIXELS = Pixels((128.0, 128.0, 128.0), (64.0, 64.0, 64.0))


def _made(spec: ModelSpec) -> tuple[nn.Module, onnx.ModelProto, onnx.ModelProto]:
    network = spec.build().eval()
    return network, *engine_graphs(network, spec, _SIZE)


def test_early_layers_stay_single_only_if_they_have_to() -> None:
    spec = ModelSpec("sensitive", _Sensitive, _SIZE, V1_CLASSES, _PIXELS)
    network, single, plain = _made(spec)
    images, said = own_pictures(_SIZE, 8), list[str]()
    answers = Graph(single, remember=True)
    check_parity(network, spec, answers, images)
    half, parity = half_graph(plain, answers, spec, images, said.append)
    assert 0 < parity.single < convolutions(plain)
    assert parity.mean >= 0.995
    assert half_share(half) > 0
    assert (
        said[0]
        == f"fp16 against fp32, the first 0 of {convolutions(plain)} convolutions in float32"
    )
    tame = replace(spec, network=_Tame)
    _, single, plain = _made(tame)
    _, parity = half_graph(plain, Graph(single), tame, images, said.append)
    assert parity.single == 0


class _Tame(_Sensitive):
    def __init__(self, classes: int) -> None:
        super().__init__(classes, large=0.0)


class _Attention(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(functional.avg_pool2d(x, 8))
        flat = x.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        weights = energy / (energy.sum(dim=-1, keepdim=True) + 1e-6)
        return self.last(torch.relu((weights @ flat).reshape(x.shape)))  # type: ignore[no-any-return]


def test_products_and_what_lies_between_stay_single() -> None:
    spec = ModelSpec("attention", _Attention, _SIZE, V1_CLASSES, _PIXELS)
    _, _, plain = _made(spec)

    def halves(products: bool) -> set[str]:
        """The kinds of nodes that give float16."""
        model = onnx.shape_inference.infer_shapes(to_half(plain, products=products))
        types = {x.name: x.type.tensor_type.elem_type for x in model.graph.value_info}
        half = onnx.TensorProto.FLOAT16
        return {x.op_type for x in model.graph.node if types.get(x.output[0]) == half}

    assert {"MatMul", "Div", "Add"} <= halves(products=False)
    assert not {"MatMul", "Div", "Add"} & halves(products=True)
    assert {"Conv", "Relu"} <= halves(products=True)


def test_rounding_of_the_network_itself_is_no_fault() -> None:
    """Differences beyond the usual limit pass if float32 alone makes a fifth of them."""
    spec = ModelSpec("sensitive", _Noisy, _SIZE, V1_CLASSES, _PIXELS)
    network, single, _ = _made(spec)
    images = own_pictures(_SIZE, 8)
    parity = check_parity(network, spec, single, images)
    assert parity.logit_max > 1e-4
    network.get_parameter("last.bias").data[0] += 0.05
    with pytest.raises(ExportError, match="ONNX is off by"):
        check_parity(network, spec, single, images)


class _Noisy(_Sensitive):
    def forward(self, x: Tensor) -> Tensor:
        large = torch.sin(self.layers[0](x)) * 20
        return self.last(large) / 30 + self.last(x)  # type: ignore[no-any-return]


def test_smallest_size() -> None:
    check_size((416, 416), find_model("lraspp"))
    with pytest.raises(ExportError, match="input size 384x512: lraspp needs at least 416"):
        check_size((384, 512), find_model("lraspp"))
