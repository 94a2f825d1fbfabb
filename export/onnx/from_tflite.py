"""Convert a TFLite network to an ONNX graph, operator by operator, with pixels as input and an
engine's output.

Activations are [N, H, W, C] in TFLite and [N, C, H, W] here; weights are transposed once, and
half-precision or sparse constants are expanded. Only the operators of face detectors and face
meshes are supported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError
from export.onnx.graph import OPSET
from export.onnx.passes import drop_unused, strip
from export.weights.tflite import TfliteGraph, TfliteOperator

Float = NDArray[np.float32]
_NHWC_TO_NCHW = (0, 3, 1, 2)
_NCHW_TO_NHWC = (0, 2, 3, 1)
_NONE, _RELU = 0, 1
_SAME, _VALID = 0, 1
"""Of the schema's enumerations."""


class GraphWriter:
    """Collects nodes and constants; names are numbered in order, so the same calls give the same
    bytes.
    """

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """The name of a constant."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        name = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def model(
        self, size: tuple[int, int], outputs: Sequence[tuple[str, tuple[int, ...]]]
    ) -> onnx.ModelProto:
        """The graph from `image` uint8 [1, H, W, 3] of `size` (height, width) to float32
        outputs.
        """
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, (1, *size, 3))
        answers = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs
        ]
        graph = helper.make_graph(self._nodes, "engine", [image], answers, self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10
        )
        drop_unused(model.graph)
        strip(model)
        onnx.checker.check_model(model, full_check=True)
        return model


class Translation:
    """Writes the operators of a network into a graph.

    Args:
        network: its tensors and operators.
        writer: receives them.
        image: the name of the pixels, float32 [1, 3, H, W], as the network expects them.
    """

    def __init__(self, network: TfliteGraph, writer: GraphWriter, image: str) -> None:
        self._network, self._writer = network, writer
        self._names = {network.inputs[0]: image}
        self._constants = {i: t.data for i, t in enumerate(network.tensors) if t.data is not None}
        self._pads: dict[int, tuple[str, list[int]]] = {}
        for operator in network.operators:
            self._write(operator)

    def output(self, index: int) -> str:
        """The name of a tensor: 4-dimensional ones are [N, C, H, W] here, others unchanged."""
        return self._names[index]

    def _write(self, operator: TfliteOperator) -> None:
        writers: dict[str, Callable[[TfliteOperator], str | None]] = {
            "ADD": self._add,
            "CONCATENATION": self._concat,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._conv,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "MAX_POOL_2D": self._max_pool,
            "PAD": self._pad,
            "PRELU": self._prelu,
            "RELU": self._relu,
            "RESHAPE": self._reshape,
            "RESIZE_BILINEAR": self._resize,
        }
        if operator.kind not in writers:
            raise ExportError(
                f"the network has the operator {operator.kind}; known are {', '.join(writers)}"
            )
        name = writers[operator.kind](operator)
        if name is not None:
            activation = operator.options.get("FusedActivationFunction", _NONE)
            if activation not in (_NONE, _RELU):
                raise ExportError(
                    f"the network has the fused activation {activation}; known is {_RELU}, ReLU"
                )
            self._names[operator.outputs[0]] = (
                self._writer.add("Relu", name) if activation else name
            )

    def _shape(self, index: int) -> tuple[int, ...]:
        return self._network.tensors[index].shape

    def _weights(self, index: int) -> Float:
        return np.asarray(self._constants[index], np.float32)

    def _conv(self, operator: TfliteOperator) -> str:
        weights = self._weights(operator.inputs[1])
        group = 1
        if operator.kind == "DEPTHWISE_CONV_2D":
            weights, group = weights.transpose(3, 0, 1, 2), weights.shape[3]
        else:
            weights = weights.transpose(_NHWC_TO_NCHW)
        kernel, strides = weights.shape[2:], _sides(operator, "Stride")
        source = operator.inputs[0]
        name, pads = self._pads.get(source, ("", []))
        if not pads:
            name, pads = self._names[source], self._same(operator, kernel)
        return self._writer.add(
            "Conv",
            name,
            self._writer.constant(weights),
            self._writer.constant(self._weights(operator.inputs[2])),
            kernel_shape=list(kernel),
            strides=strides,
            pads=pads,
            group=group,
        )

    def _same(self, operator: TfliteOperator, kernel: Sequence[int]) -> list[int]:
        """Padding of "same"; an odd pixel is added at the end."""
        if operator.options["Padding"] != _SAME:
            return [0, 0, 0, 0]
        begins, ends = [], []
        for side, step, window in zip(
            self._shape(operator.inputs[0])[1:3], _sides(operator, "Stride"), kernel, strict=True
        ):
            total = max(0, (-(-side // step) - 1) * step + window - side)
            begins.append(total // 2)
            ends.append(total - total // 2)
        return begins + ends

    def _max_pool(self, operator: TfliteOperator) -> str:
        kernel = _sides(operator, "Filter", "Height", "Width")
        return self._writer.add(
            "MaxPool",
            self._names[operator.inputs[0]],
            kernel_shape=kernel,
            strides=_sides(operator, "Stride"),
            pads=self._same(operator, kernel),
        )

    def _add(self, operator: TfliteOperator) -> str:
        return self._writer.add("Add", *(self._names[i] for i in operator.inputs))

    def _relu(self, operator: TfliteOperator) -> str:
        return self._writer.add("Relu", self._names[operator.inputs[0]])

    def _prelu(self, operator: TfliteOperator) -> str:
        slope = self._weights(operator.inputs[1]).reshape(-1, 1, 1)
        return self._writer.add(
            "PRelu", self._names[operator.inputs[0]], self._writer.constant(slope)
        )

    def _pad(self, operator: TfliteOperator) -> str | None:
        """Padding with zeros, or additional channels; padding before a convolution becomes part of
        it.
        """
        before, after = np.asarray(self._constants[operator.inputs[1]]).T
        pads = [int(side[axis]) for side in (before, after) for axis in _NHWC_TO_NCHW]
        name, target = self._names[operator.inputs[0]], operator.outputs[0]
        users = [x for x in self._network.operators if target in x.inputs]
        if pads[:2] == pads[4:6] == [0, 0] and all(
            x.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and x.options["Padding"] == _VALID
            for x in users
        ):
            self._pads[target] = name, pads[2:4] + pads[6:8]
            return None
        return self._writer.add("Pad", name, self._writer.constant(np.asarray(pads, np.int64)))

    def _concat(self, operator: TfliteOperator) -> str:
        axis = operator.options["Axis"]
        if len(self._shape(operator.outputs[0])) == 4:
            axis = _NHWC_TO_NCHW.index(axis % 4)
        return self._writer.add("Concat", *(self._names[i] for i in operator.inputs), axis=axis)

    def _reshape(self, operator: TfliteOperator) -> str:
        name, shape = self._names[operator.inputs[0]], self._shape(operator.outputs[0])
        if len(self._shape(operator.inputs[0])) == 4:
            name = self._writer.add("Transpose", name, perm=_NCHW_TO_NHWC)
        name = self._writer.add("Reshape", name, self._writer.constant(np.asarray(shape, np.int64)))
        return self._writer.add("Transpose", name, perm=_NHWC_TO_NCHW) if len(shape) == 4 else name

    def _depth_to_space(self, operator: TfliteOperator) -> str:
        return self._writer.add(
            "DepthToSpace",
            self._names[operator.inputs[0]],
            blocksize=operator.options["BlockSize"],
            mode="DCR",
        )

    def _resize(self, operator: TfliteOperator) -> str:
        if operator.options["AlignCorners"]:
            raise ExportError(
                "the network has a bilinear resize with aligned corners, which is not known here"
            )
        height, width = self._shape(operator.outputs[0])[1:3]
        channels = self._shape(operator.outputs[0])[3]
        sizes = self._writer.constant(np.asarray((1, channels, height, width), np.int64))
        mode = "half_pixel" if operator.options["HalfPixelCenters"] else "asymmetric"
        return self._writer.add(
            "Resize",
            self._names[operator.inputs[0]],
            "",
            "",
            sizes,
            mode="linear",
            coordinate_transformation_mode=mode,
        )


def _sides(operator: TfliteOperator, name: str, height: str = "H", width: str = "W") -> list[int]:
    """A setting for both sides: height, then width."""
    return [int(operator.options[f"{name}{side}"]) for side in (height, width)]
