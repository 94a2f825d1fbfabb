"""TensorFlow Lite files as plain data: tensors, operators and their settings. Files are not
trusted.

A file is a flatbuffer; the `tflite` package defines its schema. Constants in half precision or in
sparse form, which such a file converts to float32 by DEQUANTIZE and DENSIFY operators at run time,
are returned as float32, and those operators are left out.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError

_MAGIC = b"TFL3"
_LARGEST_BYTES = 256 * 2**20
_MOST_VALUES = 2**28
_DAMAGED = (
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    AssertionError,
)
"""Exceptions of the flatbuffers package and NumPy for offsets, lengths or shapes outside of the
file.
"""


@dataclass(frozen=True, slots=True)
class TfliteTensor:
    """One tensor. `data`: its values in `shape`, float32 for half-precision constants, or None if
    it is computed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """One operator. `kind`: the name in the schema (CONV_2D), or of a custom operator its own name.

    inputs, outputs: indices of tensors, -1 for an omitted input.
    options: the settings under the schema's names (StrideH, Padding, FusedActivationFunction),
    integers for enums.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TfliteGraph:
    """The first subgraph of a file; operators are in the order of execution."""

    tensors: tuple[TfliteTensor, ...]
    operators: tuple[TfliteOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def is_tflite(path: Path) -> bool:
    """Whether a file identifies itself as a TensorFlow Lite model."""
    try:
        with path.open("rb") as file:
            return file.read(8)[4:] == _MAGIC
    except OSError:
        return False


def read_tflite(path: Path) -> TfliteGraph:
    """Read a .tflite file.

    Raises:
        ExportError: it is unreadable, not a TensorFlow Lite model, or its offsets, lengths or
            shapes are wrong.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ExportError(
                f"{path}: larger than {_LARGEST_BYTES >> 20} MiB; give a .tflite file of a small "
                "network"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}; give a .tflite file") from error
    return parse_tflite(data, str(path))


def parse_tflite(data: bytes, name: str) -> TfliteGraph:
    """Parse the bytes of a .tflite file; `name` is for messages.

    Raises:
        ExportError: as `read_tflite`.
    """
    try:
        import tflite
    except ImportError as error:
        raise ExportError(
            f"{name}: reading it needs the package tflite; pip install 'vcam[export]'"
        ) from error
    if data[4:8] != _MAGIC:
        raise ExportError(f"{name}: not a TensorFlow Lite model; give a .tflite file")
    try:
        return _Reader(tflite, data).graph()
    except _DAMAGED as error:
        raise ExportError(f"{name}: a damaged TensorFlow Lite model; download it again") from error


class _Reader:
    def __init__(self, tflite: Any, data: bytes) -> None:
        self._tflite, self._size = tflite, len(data)
        self._model = tflite.Model.GetRootAs(data, 0)
        self._kinds = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self._option_kinds = {
            v: k for k, v in vars(tflite.BuiltinOptions).items() if isinstance(v, int)
        }
        types = {
            "FLOAT32": "f4",
            "FLOAT16": "f2",
            "INT32": "i4",
            "INT64": "i8",
            "UINT8": "u1",
            "INT8": "i1",
        }
        types |= {"BOOL": "?", "INT16": "i2"}
        self._types = {getattr(tflite.TensorType, k): np.dtype(v) for k, v in types.items()}

    def graph(self) -> TfliteGraph:
        if self._model.SubgraphsLength() < 1:
            raise ValueError("no subgraph")
        graph = self._model.Subgraphs(0)
        tensors = [self._tensor(graph.Tensors(i)) for i in self._range(graph.TensorsLength())]
        operators = [
            self._operator(graph.Operators(i), len(tensors))
            for i in self._range(graph.OperatorsLength())
        ]
        left = tuple(x for x in operators if not _fold(x, tensors))
        ends = (
            _numbers(graph.InputsAsNumpy(), len(tensors)),
            _numbers(graph.OutputsAsNumpy(), len(tensors)),
        )
        return TfliteGraph(tuple(tensors), left, *ends)

    def _range(self, length: int) -> range:
        """A vector of offsets takes four bytes per entry, so a longer one than the file is
        invalid.
        """
        if not 0 <= length <= self._size // 4:
            raise ValueError("a length outside of the file")
        return range(length)

    def _tensor(self, tensor: Any) -> TfliteTensor:
        dtype = self._types[tensor.Type()]
        shape = tuple(int(x) for x in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
        if (
            len(shape) > 8
            or any(x < 0 for x in shape)
            or np.prod(shape, dtype=np.float64) > _MOST_VALUES
        ):
            raise ValueError("a shape that no tensor has")
        if not 0 <= tensor.Buffer() < self._model.BuffersLength():
            raise ValueError("a buffer that the file lacks")
        buffer = self._model.Buffers(tensor.Buffer())
        length = len(self._range_of_bytes(buffer.DataLength()))
        data = None
        if length:
            data = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype)
            data = (
                self._dense(data, shape, tensor.Sparsity())
                if tensor.Sparsity()
                else data.reshape(shape)
            )
        return TfliteTensor((tensor.Name() or b"").decode("utf-8", "replace"), shape, dtype, data)

    def _dense(self, values: NDArray[Any], shape: tuple[int, ...], sparsity: Any) -> NDArray[Any]:
        """Expand a constant whose last axis is stored in compressed rows, the others in full."""
        last = len(shape) - 1
        formats = [sparsity.DimMetadata(i).Format() for i in range(sparsity.DimMetadataLength())]
        if formats != [0] * last + [1] or sparsity.TraversalOrderAsNumpy().tolist() != list(
            range(last + 1)
        ):
            raise ValueError("a sparse layout that is not known")
        rows = sparsity.DimMetadata(last)
        starts = self._places(rows.ArraySegments(), rows.ArraySegmentsType())
        columns = self._places(rows.ArrayIndices(), rows.ArrayIndicesType())
        dense = np.zeros((int(np.prod(shape[:last])), shape[last]), values.dtype)
        dense[np.repeat(np.arange(len(dense)), np.diff(starts)), columns] = values[: len(columns)]
        return dense.reshape(shape)

    def _places(self, table: Any, kind: int) -> NDArray[np.int64]:
        kinds = {
            v: k for k, v in vars(self._tflite.SparseIndexVector).items() if isinstance(v, int)
        }
        vector = getattr(self._tflite, kinds[kind])()
        vector.Init(table.Bytes, table.Pos)
        return np.asarray(vector.ValuesAsNumpy(), np.int64)

    def _range_of_bytes(self, length: int) -> range:
        if not 0 <= length <= self._size:
            raise ValueError("a length outside of the file")
        return range(length)

    def _operator(self, operator: Any, tensors: int) -> TfliteOperator:
        if not 0 <= operator.OpcodeIndex() < self._model.OperatorCodesLength():
            raise ValueError("an operator that the file lacks")
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        kind = self._kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if kind == "CUSTOM":
            kind = code.CustomCode().decode("utf-8", "replace")
        ends = (
            _numbers(operator.InputsAsNumpy(), tensors),
            _numbers(operator.OutputsAsNumpy(), tensors),
        )
        return TfliteOperator(kind, *ends, dict(self._options(operator)))

    def _options(self, operator: Any) -> Iterator[tuple[str, Any]]:
        kind = self._option_kinds[operator.BuiltinOptionsType()]
        table = operator.BuiltinOptions()
        if kind == "NONE" or table is None:
            return
        options = getattr(importlib.import_module(f"tflite.{kind}"), kind)()
        options.Init(table.Bytes, table.Pos)
        names = [x for x in vars(type(options)) if x[0].isupper() and not x.startswith("GetRoot")]
        vectors = {x.removesuffix("AsNumpy") for x in names if x.endswith("AsNumpy")}
        for name in names:
            if name in {"Init"} or name.endswith(
                ("AsNumpy", "Length", "IsNone", "BufferHasIdentifier")
            ):
                continue
            vector = (
                np.asarray(getattr(options, f"{name}AsNumpy")()).tolist()
                if name in vectors
                else None
            )
            yield name, vector if name in vectors else getattr(options, name)()


def _numbers(indices: Any, tensors: int) -> tuple[int, ...]:
    """Indices of tensors; the package returns 0 for an absent vector."""
    found = tuple(int(x) for x in indices) if not isinstance(indices, int) else ()
    if any(not -1 <= x < tensors for x in found):
        raise ValueError("a tensor that the file lacks")
    return found


def _fold(operator: TfliteOperator, tensors: list[TfliteTensor]) -> bool:
    """Whether the operator only converts a half-precision or sparse constant, whose result replaces
    it.
    """
    if operator.kind not in {"DENSIFY", "DEQUANTIZE"}:
        return False
    source, target = tensors[operator.inputs[0]], operator.outputs[0]
    if source.data is None or (operator.kind == "DEQUANTIZE" and source.dtype != np.float16):
        return False
    if source.shape != tensors[target].shape:
        raise ValueError("a constant of another shape than its use")
    data = source.data.astype(np.float32) if operator.kind == "DEQUANTIZE" else source.data
    tensors[target] = TfliteTensor(source.name, source.shape, data.dtype, data)
    return True
