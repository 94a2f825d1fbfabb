"""Half precision: the same graph with float16 weights and activations, for runtimes that take
precision from the graph.

Pixels and output stay uint8, and states stay float32. Float32 remains where float16 has too few
digits or too small a range: the normalisation of the pixels before the first convolution, layer
normalisation and softmax (sums of many terms), and everything after the last sigmoid or softmax. If
a network requires it (`ModelSpec.single`), the first convolutions stay float32 too, because later
layers amplify their rounding.

ONNX Runtime's converter (onnxruntime.transformers.float16, 1.32) does almost the same, and was
tried on every engine with the same nodes kept: for portraitnet_face 0.9933 of the worst picture's
pixels keep their class (here 0.9985), an engine with a memory falls to an IoU of 0.52 (here
0.9987), and its nodes must be sorted afterwards.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.onnx.passes import answer_node, drop_unused, strip

_KEPT_KINDS = {"LayerNormalization", "Softmax", "Constant", "ConstantOfShape"}
_FIRST_OF_NETWORK = {"Conv", "AveragePool"}
_FLOAT_INPUTS = {"Resize": (1, 2)}
"""Inputs that the standard requires to be float32: region and scales."""
_LARGEST = float(np.finfo(np.float16).max)


def to_half(
    plain: onnx.ModelProto,
    single: int = 0,
    ends: Collection[str] | None = None,
    products: bool = False,
) -> onnx.ModelProto:
    """Make a float16 copy of an engine with the network's own operators; the same graph gives the
    same bytes.

    single: number of the first convolutions that stay float32. ends: names of final nodes that stay
    float32; default: those from the last sigmoid or softmax on. products: whether matrix products,
    and nodes between two of them, stay float32.
    """
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    graph = model.graph
    last = _from_answer(graph) if ends is None else set(ends)
    kept = (
        _before_network(graph, single)
        | last
        | (_between_products(graph) if products else set())
        | {x.name for x in graph.node if x.op_type in _KEPT_KINDS}
    )
    halver = _Halver(graph, _float_values(model))
    for node in graph.node:
        halver.add(node, half=node.name not in kept)
    del graph.node[:]
    graph.node.extend(halver.nodes)
    drop_unused(graph)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def half_share(model: onnx.ModelProto) -> float:
    """The share of float16 among the floating-point weights, by count."""
    sizes = {TensorProto.FLOAT: 0, TensorProto.FLOAT16: 0}
    for item in model.graph.initializer:
        if item.data_type in sizes:
            sizes[item.data_type] += int(np.prod(item.dims))
    return sizes[TensorProto.FLOAT16] / max(1, sum(sizes.values()))


class _Halver:
    """Copies nodes one by one, with casts where a value changes its precision."""

    def __init__(self, graph: onnx.GraphProto, floats: set[str]) -> None:
        self._graph, self._floats = graph, floats
        self._weights = {item.name: item for item in graph.initializer}
        self._halves: set[str] = set()
        self._converted: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []

    def add(self, node: onnx.NodeProto, half: bool) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for index, name in enumerate(node.input):
            copy.input[index] = self._value(
                name, half and index not in _FLOAT_INPUTS.get(node.op_type, ())
            )
        if half:
            self._halves |= self._floats & set(node.output)
            for attribute in copy.attribute:
                if (
                    node.op_type == "Cast"
                    and attribute.name == "to"
                    and attribute.i == TensorProto.FLOAT
                ):
                    attribute.i = TensorProto.FLOAT16
        self.nodes.append(copy)

    def _value(self, name: str, half: bool) -> str:
        """The name of the same value in the requested precision."""
        if name not in self._floats or (name in self._halves) == half:
            return name
        if name not in self._converted:
            other = self._converted[name] = f"{name}_{'half' if half else 'single'}"
            if name in self._weights:
                values = np.clip(
                    numpy_helper.to_array(self._weights[name]), -_LARGEST, _LARGEST
                ).astype(np.float16)
                self._graph.initializer.append(numpy_helper.from_array(values, other))
            else:
                to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
                self.nodes.append(helper.make_node("Cast", [name], [other], to=to))
        return self._converted[name]


def _float_values(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 values: inputs, outputs, weights and intermediate values."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    floats = {x.name for x in values if x.type.tensor_type.elem_type == TensorProto.FLOAT}
    return floats | {item.name for item in graph.initializer if item.data_type == TensorProto.FLOAT}


def _before_network(graph: onnx.GraphProto, single: int) -> set[str]:
    names: set[str] = set()
    for node in graph.node:
        if node.op_type in _FIRST_OF_NETWORK:
            single -= 1
        if single < 0:
            break
        names.add(node.name)
    return names


def convolutions(model: onnx.ModelProto) -> int:
    """The number of layers that `single` can count."""
    return sum(node.op_type in _FIRST_OF_NETWORK for node in model.graph.node)


def _between_products(graph: onnx.GraphProto) -> set[str]:
    """Names of all matrix products, and of the nodes on paths between two of them."""
    products = {node.name for node in graph.node if node.op_type == "MatMul"}
    after = set[str]()  # values computed from a product
    behind = set[str]()
    for node in graph.node:
        if after & set(node.input):
            behind.add(node.name)
        if node.name in products or node.name in behind:
            after.update(node.output)
    needed = set[str]()  # values needed by a product
    kept = set(products)
    for node in reversed(graph.node):
        if needed & set(node.output) and node.name in behind:
            kept.add(node.name)
        if node.name in products or needed & set(node.output):
            needed.update(node.input)
    return kept


def _from_answer(graph: onnx.GraphProto) -> set[str]:
    first = answer_node(graph)
    reached, names = set(first.output), {first.name}
    for node in graph.node:
        if reached & set(node.input):
            reached.update(node.output)
            names.add(node.name)
    return names
