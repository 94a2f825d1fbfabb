"""Inspect an ONNX file before any library reads it: does it contain all of its tensors?

A tensor may refer to another file for its values ("external data"). No checksum covers that file,
and several versions of ONNX Runtime read any file of the machine for it. So an engine with such a
tensor is refused.

Format: https://protobuf.dev/programming-guides/encoding/ and onnx/onnx.proto of
    https://github.com/onnx/onnx.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_DEEPEST = 100
"""Maximum nesting depth, the same as in protobuf's own parsers."""


@dataclass(frozen=True, slots=True)
class _Message:
    """The fields of one message type that lead to tensors: the nested message type by field
    number.
    """

    fields: dict[int, str]
    external: frozenset[int] = field(default=frozenset())


_MESSAGES = {
    "model": _Message({7: "graph", 20: "training", 25: "function"}),
    "graph": _Message({1: "node", 5: "tensor", 15: "sparse"}),
    "node": _Message({5: "attribute"}),
    "attribute": _Message(
        {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"}
    ),
    "sparse": _Message({1: "tensor", 2: "tensor"}),
    "training": _Message({1: "graph", 2: "graph"}),
    "function": _Message({7: "node", 11: "attribute"}),
    "tensor": _Message({}, external=frozenset({13})),  # external_data; data_location is 14
}
_DATA_LOCATION = 14


def has_external_data(model: bytes) -> bool:
    """Whether any tensor, in any graph or function of the model, refers to another file.

    Raises:
        ValueError: the bytes are not an ONNX model.
    """
    if not model:
        raise ValueError("no ONNX model")
    todo = [("model", memoryview(model), 0)]
    while todo:
        kind, data, depth = todo.pop()
        if depth > _DEEPEST:
            raise ValueError("no ONNX model")
        message = _MESSAGES[kind]
        for number, value in _fields(data):
            if number in message.external or (
                kind == "tensor" and number == _DATA_LOCATION and value != 0
            ):
                return True
            if (inner := message.fields.get(number)) is not None:
                if isinstance(value, int):
                    raise ValueError("no ONNX model")
                todo.append((inner, value, depth + 1))
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Iterate over fields: (number, content of a length-delimited field, else its value or 0)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: memoryview | int = 0
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in _WIDTHS:
            at += _WIDTHS[kind]
        else:  # groups, which ONNX never had
            raise ValueError("no ONNX model")
        if number == 0 or at > len(data):
            raise ValueError("no ONNX model")
        yield number, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Decode a varint: (value, end offset)."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("no ONNX model")
