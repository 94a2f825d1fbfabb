"""Rewrites of ONNX graphs that preserve results, for networks without a folded form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_CHANNEL_SLOPE_RANKS = (3, 4)


def strip(model: onnx.ModelProto) -> None:
    """Remove metadata about where and how the graph was made, so the same weights give the same
    bytes anywhere.
    """
    graph = model.graph
    for thing in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del thing.metadata_props[:]
        thing.doc_string = ""
    del graph.value_info[:]
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"


def rewrite_prelu(model: onnx.ModelProto) -> int:
    """Replace every PRelu by ReLU and 1x1 depthwise convolutions; return how many were replaced.

    PReLU(x) = a x + sign(1 - a) ReLU(|1 - a| x), exact for every slope a. In ONNX Runtime PRelu
    takes most of SINet's time, because it leaves the blocked layout and is not vectorised. A PRelu
    of matrices, or with one slope for all channels, costs little or has no channel count, and
    becomes a x + (1 - a) ReLU(x).
    """
    graph = model.graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    replaced = 0
    for node in graph.node:
        slope = values.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None:
            nodes.append(node)
            continue
        writer = _Writer(graph, node)
        (_by_convolution if _per_channel(slope) else _by_product)(writer, slope)
        nodes += writer.nodes
        replaced += 1
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    return replaced


def _per_channel(slope: NDArray[np.float32]) -> bool:
    return slope.ndim in _CHANNEL_SLOPE_RANKS and 1 < slope.size == slope.shape[-3]


class _Writer:
    """Collects the nodes that replace one PRelu; names derive from its output."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        self._graph, self.input, self.output = graph, node.input[0], node.output[0]
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, name: str, value: NDArray[np.float32]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, f"{self.output}_{name}"))
        return f"{self.output}_{name}"

    def add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        output = f"{self.output}_{name}" if name else self.output
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output


def _by_convolution(writer: _Writer, slope: NDArray[np.float32]) -> None:
    slope = slope.reshape(-1, 1, 1, 1)
    rest = 1 - slope
    channels = len(slope)

    def scaled(name: str, x: str, factor: NDArray[np.float32]) -> str:
        weight = writer.constant(f"{name}_weight", factor.astype(slope.dtype))
        return writer.add("Conv", name, x, weight, group=channels, kernel_shape=[1, 1])

    straight = scaled("straight", writer.input, slope)
    bent = writer.add("Relu", "bent", scaled("rest", writer.input, np.abs(rest)))
    if (rest < 0).any():
        bent = scaled("signed", bent, np.where(rest < 0, -1.0, 1.0))
    writer.add("Add", "", straight, bent)


def _by_product(writer: _Writer, slope: NDArray[np.float32]) -> None:
    straight = writer.add("Mul", "straight", writer.input, writer.constant("slope", slope))
    relu = writer.add("Relu", "relu", writer.input)
    bent = writer.add("Mul", "bent", relu, writer.constant("rest", 1 - slope))
    writer.add("Add", "", straight, bent)


def pool_means(model: onnx.ModelProto) -> int:
    """Replace means over height and width by pools; return how many were replaced.

    ONNX Runtime pools in the blocked layout of its convolutions, but leaves it for a mean. It sums
    a plane value by value, which loses precision, so a plane is pooled in two steps: tiles about as
    large as their number, then the tiles.
    """
    graph = model.graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    shapes = _shapes(model)
    nodes: list[onnx.NodeProto] = []
    replaced = 0
    for node in graph.node:
        axes = values.get(node.input[1]) if _reduces(node) else None
        plane = shapes.get(node.input[0], [])[2:] if axes is not None else []
        if axes is None or sorted(axes.tolist()) not in ([2, 3], [-2, -1]) or 0 in plane:
            nodes.append(node)
            continue
        tile = [_divisor(side) for side in plane]
        tiles = f"{node.output[0]}_tiles"
        add = helper.make_node
        nodes.append(add("AveragePool", [node.input[0]], [tiles], kernel_shape=tile, strides=tile))
        nodes.append(add("GlobalAveragePool", [tiles], [node.output[0]]))
        replaced += 1
    _put(graph, nodes)
    drop_unused(graph)
    return replaced


def _reduces(node: onnx.NodeProto) -> bool:
    """Whether a node is a mean that keeps its axes."""
    keeps = all(x.i == 1 for x in node.attribute if x.name == "keepdims")
    return node.op_type == "ReduceMean" and len(node.input) > 1 and keeps


def _divisor(side: int) -> int:
    """The largest divisor up to the square root."""
    return next(x for x in range(math.isqrt(side), 0, -1) if side % x == 0)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of intermediate values, as far as they follow from the inputs' shapes."""
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in inferred}


def _put(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace the graph's nodes; some of the new ones may be its own."""
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)


def widen_gates(model: onnx.ModelProto) -> int:
    """Enlarge the [N, C, 1, 1] side of a product to [N, C, H, W]; return how many were enlarged.

    ONNX Runtime multiplies planes of equal shape in its blocked layout; a broadcast product forces
    it to leave that layout and return, which costs more than the copies.
    """
    graph = model.graph
    shapes = _shapes(model)
    nodes: list[onnx.NodeProto] = []
    widened = 0
    for node in graph.node:
        first, second = (shapes.get(x, []) for x in [*node.input, "", ""][:2])
        same = len(first) == len(second) == 4 and first[:2] == second[:2]
        if node.op_type == "Mul" and same and second[2:] == [1, 1] != first[2:]:
            scales, wide = f"{node.output[0]}_scales", f"{node.output[0]}_gate"
            factors = np.array([1, 1, *first[2:]], np.float32)
            graph.initializer.append(numpy_helper.from_array(factors, scales))
            nodes.append(
                helper.make_node(
                    "Resize",
                    [node.input[1], "", scales],
                    [wide],
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )
            )
            node.input[1] = wide
            widened += 1
        nodes.append(node)
    _put(graph, nodes)
    return widened


def fold_scale(model: onnx.ModelProto) -> bool:
    """Fold `(x - 0) / d` before the first convolution into its weights; return whether that was
    possible.

    With a mean other than 0 the padding would have to change too, so such graphs are left
    unchanged.
    """
    graph = model.graph
    values = {item.name: item for item in graph.initializer}
    divide = next((x for x in graph.node if x.op_type == "Div"), None)
    subtract = next((x for x in graph.node if divide and divide.input[0] in x.output), None)
    readers = [x for x in graph.node if divide and divide.output[0] in x.input]
    if divide is None or subtract is None or subtract.op_type != "Sub" or len(readers) != 1:
        return False
    conv = readers[0]
    if conv.op_type != "Conv":
        return False
    constants = [values.get(x.input[1]) for x in (subtract, divide, conv)]
    if any(x is None for x in constants):
        return False
    mean, scale, weight = (numpy_helper.to_array(x) for x in constants if x is not None)
    if mean.any():
        return False
    folded = (weight / scale.reshape(1, -1, 1, 1)).astype(np.float32)
    values[conv.input[1]].CopyFrom(numpy_helper.from_array(folded, conv.input[1]))
    conv.input[0] = subtract.input[0]
    for node in (divide, subtract):
        graph.node.remove(node)
    drop_unused(graph)
    return True


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the weights that no node reads."""
    used = {name for node in graph.node for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def answer_node(graph: onnx.GraphProto) -> onnx.NodeProto:
    """The last sigmoid or softmax of an engine, which produces its uint8 output."""
    makers: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}
    node = makers[graph.output[0].name]
    while node.op_type not in {"Sigmoid", "Softmax"}:
        node = makers[node.input[0]]
    return node


def score_variant(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with an additional first output `score`: float32, the input of the last sigmoid or
    softmax.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shape = [d.dim_value for d in copy.graph.output[0].type.tensor_type.shape.dim]
    copy.graph.node.append(
        helper.make_node("Identity", [answer_node(copy.graph).input[0]], ["score"], name="score")
    )
    others = list(copy.graph.output)
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info("score", onnx.TensorProto.FLOAT, shape))
    copy.graph.output.extend(others)
    return copy
