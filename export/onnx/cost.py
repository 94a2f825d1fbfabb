"""The size of a graph: its parameters, and the multiply-adds of one run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

_COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True)
class Cost:
    """parameters: floating-point numbers in the file. multiply_adds: of one run, in `by_kind` per
    node type.

    Convolutions and matrix products count; sums, element-wise products, resizing and activations,
    which take less, do not.
    """

    parameters: int
    by_kind: dict[str, int]

    @property
    def multiply_adds(self) -> int:
        """The total over all nodes that count."""
        return sum(self.by_kind.values())


def cost_of(model: onnx.ModelProto) -> Cost:
    """The cost of a graph whose shapes are fixed.

    Raises:
        ValueError: the shape of a counted node is unknown.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {x.name: list(x.dims) for x in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shapes[value.name] = [x.dim_value for x in value.type.tensor_type.shape.dim]
    by_kind: dict[str, int] = {}
    for node in (x for x in graph.node if x.op_type in _COUNTED):
        by_kind[node.op_type] = by_kind.get(node.op_type, 0) + _multiply_adds(node, shapes)
    floats = (x for x in graph.initializer if x.data_type in _FLOATS)
    return Cost(sum(int(np.prod(x.dims, dtype=np.int64)) for x in floats), by_kind)


def _multiply_adds(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    found = [shapes.get(name, []) for name in (node.input[0], node.input[1], node.output[0])]
    if not all(found) or not all(all(shape) for shape in found):
        raise ValueError(f"{node.op_type} {node.name}: its shapes are not fixed")
    data, weight, answer = found
    if node.op_type == "Conv":  # each number of the answer is a sum over one filter
        return int(np.prod(answer) * np.prod(weight[1:]))
    if node.op_type == "ConvTranspose":  # each number of the input spreads over one filter
        return int(np.prod(data) * np.prod(weight[1:]))
    turned = any(x.name == "transA" and x.i for x in node.attribute)
    return int(np.prod(answer) * data[0 if turned else -1])
