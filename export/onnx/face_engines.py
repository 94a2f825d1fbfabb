"""The graphs of MediaPipe's face detectors and face mesh in the engine contract, from their
published files.

Google's MediaPipe Authors published them under Apache-2.0: Bazarevsky et al., "BlazeFace:
Sub-millisecond Neural Face Detection on Mobile GPUs", 2019 (detectors), Kartynnik et al.,
"Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019 (mesh). Constants of
anchors and pixels are those of the files' own pipelines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from export.errors import ExportError
from export.onnx.from_tflite import GraphWriter, Translation
from export.onnx.half import to_half
from export.onnx.passes import rewrite_prelu, strip
from export.weights.tflite import TfliteGraph

Float = NDArray[np.float32]
POINTS = 478
_BOX_NUMBERS = 16
"""Centre, width, height and six points."""


@dataclass(frozen=True, slots=True)
class FaceEngine:
    """One published network and how it becomes an engine.

    name: of the engine's model. task: "detect" or "landmarks". member: the file's name inside a
    `.task` archive.
    sha256: of the published .tflite file. source: where it was published. side: of the square
    input, in pixels.
    offset, scale: pixels become (v - offset) * scale. anchors: (cells along a side, anchors in
    each), of a detector.
    threshold: the score from which on a box of this detector counts.
    """

    name: str
    task: str
    member: str
    sha256: str
    source: str
    side: int
    offset: float
    scale: float
    anchors: tuple[tuple[int, int], ...] = ()
    threshold: float = 0.5


FACE_ENGINES = {
    engine.name: engine
    for engine in (
        FaceEngine(
            "face_detector",
            "detect",
            "face_detector.tflite",
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            "face_landmarker_v2.task, google-ai-edge/mediapipe at "
            "0179f0c4566ae78e02e1198cb73c60e4668395b5",
            128,
            127.5,
            1 / 127.5,
            ((16, 2), (8, 6)),
            0.5,
        ),
        FaceEngine(
            "face_detector_far",
            "detect",
            "face_detection_full_range_sparse.tflite",
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
            "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite, PyPI "
            "package mediapipe 0.10.21",
            192,
            127.5,
            1 / 127.5,
            ((48, 1),),
            0.6,
        ),
        FaceEngine(
            "face_mesh",
            "landmarks",
            "face_landmarks_detector.tflite",
            "bc5ee5de06d8c3a5465c3155227615b164480a52105a2b3df5748250ab4d914f",
            "face_landmarker_v2.task, google-ai-edge/mediapipe at "
            "0179f0c4566ae78e02e1198cb73c60e4668395b5",
            192,
            0.0,
            1 / 255,
        ),
    )
}


def plain_face_graph(engine: FaceEngine, network: TfliteGraph) -> onnx.ModelProto:
    """The engine's graph with the network's own operators, float32.

    Input `image` uint8 [1, S, S, 3] RGB. Outputs of a detector: `faces` float32 [1, N, 17], for
    each anchor its score 0..1, the box's centre x and y, width and height, and x and y of six
    points (the eyes, the one on the left of the picture first; nose tip; mouth; ears), in shares of
    the input's side. Of a mesh: `points` float32 [1, 478, 3], x and y in shares of the input's side
    from its top left corner, z in the same unit, smaller towards the camera; and `presence` float32
    [1], 0..1.

    Raises:
        ExportError: the network is not of this kind.
    """
    shape = network.tensors[network.inputs[0]].shape if network.inputs else ()
    if shape != (1, engine.side, engine.side, 3):
        raise ExportError(
            f"{engine.name}: the network's input is {shape}, wanted is "
            f"1x{engine.side}x{engine.side}x3"
        )
    writer = GraphWriter()
    pixels = writer.add(
        "Transpose", writer.add("Cast", "image", to=onnx.TensorProto.FLOAT), perm=(0, 3, 1, 2)
    )
    if engine.offset:
        pixels = writer.add("Sub", pixels, writer.constant(np.float32(engine.offset)))
    pixels = writer.add("Mul", pixels, writer.constant(np.float32(engine.scale)))
    translation = Translation(network, writer, pixels)
    finish = _detections if engine.task == "detect" else _landmarks
    return writer.model((engine.side, engine.side), finish(engine, network, writer, translation))


def fast_face_graph(plain: onnx.ModelProto) -> onnx.ModelProto:
    """The same for ONNX Runtime on a CPU, where PRelu takes three quarters of the mesh's time."""
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    rewrite_prelu(model)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def half_face_graph(plain: onnx.ModelProto) -> onnx.ModelProto:
    """The same in half precision for a GPU; layers after the last convolution stay float32."""
    nodes = list(plain.graph.node)
    last = max(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    return to_half(plain, ends={node.name for node in nodes[last + 1 :]})


Outputs = list[tuple[str, tuple[int, ...]]]


def _detections(
    engine: FaceEngine, network: TfliteGraph, writer: GraphWriter, names: Translation
) -> Outputs:
    centres = anchor_centres(engine.anchors)
    boxes, scores = (
        _output(engine, network, (1, len(centres), width)) for width in (_BOX_NUMBERS, 1)
    )
    offsets = np.zeros((1, len(centres), _BOX_NUMBERS), np.float32)
    for column in (0, *range(4, _BOX_NUMBERS, 2)):
        offsets[0, :, column : column + 2] = centres
    score = writer.add("Sigmoid", names.output(scores))
    scaled = writer.add("Mul", names.output(boxes), writer.constant(np.float32(1 / engine.side)))
    placed = writer.add("Add", scaled, writer.constant(offsets))
    writer.add("Concat", score, placed, output="faces", axis=2)
    return [("faces", (1, len(centres), 1 + _BOX_NUMBERS))]


def _landmarks(
    engine: FaceEngine, network: TfliteGraph, writer: GraphWriter, names: Translation
) -> Outputs:
    points, presence = (_output(engine, network, (1, 1, 1, width)) for width in (3 * POINTS, 1))
    shaped = writer.add(
        "Reshape", names.output(points), writer.constant(np.asarray((1, POINTS, 3), np.int64))
    )
    writer.add("Mul", shaped, writer.constant(np.float32(1 / engine.side)), output="points")
    flat = writer.add(
        "Reshape", names.output(presence), writer.constant(np.asarray((1,), np.int64))
    )
    writer.add("Sigmoid", flat, output="presence")
    return [("points", (1, POINTS, 3)), ("presence", (1,))]


def _output(engine: FaceEngine, network: TfliteGraph, shape: tuple[int, ...]) -> int:
    """The index of the output of that shape (their order differs between files)."""
    for index in network.outputs:
        if network.tensors[index].shape == shape:
            return index
    found = [network.tensors[index].shape for index in network.outputs]
    raise ExportError(
        f"{engine.name}: the network has no output {shape}, only {found}; give the published file"
    )


def anchor_centres(anchors: tuple[tuple[int, int], ...]) -> Float:
    """float32 [N, 2], x and y of all anchors in shares of the side: row by row, those of a cell
    next to each other.
    """
    grids = []
    for cells, each in anchors:
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(grids).astype(np.float32)
