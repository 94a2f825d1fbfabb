"""Caffe's weight files (.caffemodel), new and old form, as named tensors. Files are not trusted.

A file is a protocol buffer; `protobuf` reads it from a description of the few fields that contain
weights, with the numbers of Caffe's public format. The values of a blob are packed floats,
described here as bytes, so that 134 million of them need no Python object each.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from torch import Tensor

from export.errors import ExportError

_LARGEST_BYTES = 2**31 - 1
"""Maximum size of a protocol buffer."""
_FIRST_BYTES = (b"\n", b"\x12", b"\xa2\x06")
"""Of a file: the tag of `name`, `layers` or `layer`."""
_NAMES = ("weight", "bias")
_MOST_AXES = 32

_Field = descriptor_pb2.FieldDescriptorProto
_SCHEMA: dict[str, tuple[tuple[str, int, int, bool, str], ...]] = {
    "Shape": (("dim", 1, _Field.TYPE_INT64, True, ""),),
    "Blob": (
        ("num", 1, _Field.TYPE_INT32, False, ""),
        ("channels", 2, _Field.TYPE_INT32, False, ""),
        ("height", 3, _Field.TYPE_INT32, False, ""),
        ("width", 4, _Field.TYPE_INT32, False, ""),
        ("data", 5, _Field.TYPE_BYTES, True, ""),
        ("shape", 7, _Field.TYPE_MESSAGE, False, "Shape"),
        ("double_data", 8, _Field.TYPE_BYTES, True, ""),
    ),
    "Layer": (
        ("name", 1, _Field.TYPE_STRING, False, ""),
        ("blobs", 7, _Field.TYPE_MESSAGE, True, "Blob"),
    ),
    "OldLayer": (
        ("name", 4, _Field.TYPE_STRING, False, ""),
        ("blobs", 6, _Field.TYPE_MESSAGE, True, "Blob"),
    ),
    "Net": (
        ("layers", 2, _Field.TYPE_MESSAGE, True, "OldLayer"),
        ("layer", 100, _Field.TYPE_MESSAGE, True, "Layer"),
    ),
}
"""Fields of each message: name, number, type, whether repeated, and the nested message."""


@cache
def _net() -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="caffe_weights.proto", package="caffe_weights")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
                type_name=f".{file.package}.{of}" if of else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    described = pool.FindMessageTypeByName(f"{file.package}.Net")
    return message_factory.GetMessageClass(described)  # type: ignore[no-any-return]


def is_caffe(path: Path, head: bytes) -> bool:
    """Whether a file is one of Caffe's, by its name or its first bytes."""
    return path.suffix == ".caffemodel" or head.startswith(_FIRST_BYTES)


def read_caffe(path: Path) -> dict[str, Tensor]:
    """Read the weights of each layer as float32: its first blob as `LAYER.weight`, its second as
    `.bias`.

    A vector that the old form stores with four axes gets one axis.

    Raises:
        ExportError: the file does not exist, is too large, of another type or damaged, or a layer
            occurs twice.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ExportError(f"{path}: larger than 2 GiB, which no Caffe file is; give another")
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror
        raise ExportError(f"{path}: cannot be read ({reason}); give a checkpoint file") from error
    net = _net()()
    try:
        net.ParseFromString(data)
        layers = [(layer.name, list(layer.blobs)) for layer in (*net.layers, *net.layer)]
    except (DecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: damaged or not a Caffe file; fetch it again") from error
    del data
    state: dict[str, Tensor] = {}
    for name, blobs in layers:
        for kind, blob in zip(_NAMES, blobs, strict=False):
            key = f"{name}.{kind}"
            if key in state:
                raise ExportError(f"{path}: layer {_shown(name)} comes twice; fetch it again")
            state[key] = _tensor(path, name, blob)
    return state


def _shown(name: str) -> str:
    return ascii(name[:40])


def _tensor(path: Path, layer: str, blob: Any) -> Tensor:
    kind, chunks = (np.float64, blob.double_data) if blob.double_data else (np.float32, blob.data)
    data = b"".join(chunks)
    size = np.dtype(kind).itemsize
    shape = tuple(blob.shape.dim)
    if not shape:
        shape = (blob.num, blob.channels, blob.height, blob.width)
        shape = shape[3:] if shape[:3] == (1, 1, 1) else shape
    whole = len(shape) <= _MOST_AXES and all(length > 0 for length in shape)
    if not whole or math.prod(shape) * size != len(data):
        raise ExportError(
            f"{path}: layer {_shown(layer)} holds {len(data) // size} numbers, which do not fill "
            "its "
            "shape; fetch it again"
        )
    values = np.frombuffer(data, np.dtype(kind).newbyteorder("<")).astype(np.float32)
    return torch.from_numpy(values.reshape(shape))
