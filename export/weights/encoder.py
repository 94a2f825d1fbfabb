"""Load weights for the encoder of a network alone, from a file of a classifier or of another
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from export.errors import ExportError
from export.weights.files import check_finite, read_weights

_PREFIXES = ("backbone.", "encoder.", "stage", "down.", "conv")
"""Prefixes of an encoder's tensors; the first one that occurs in a network is used."""
_COUNTER = ".num_batches_tracked"


def load_encoder(path: Path, network: nn.Module) -> str:
    """Load an encoder's weights from a file; return a description.

    By name, if the file has every tensor of the encoder, with or without the prefix; else in order,
    if the file begins with tensors of the same shapes, as files of torchvision, timm and
    mmclassification for the same architecture do. Safetensors files have no order.

    Raises:
        ExportError: not a checkpoint, the network has no encoder, or neither way fits.
    """
    wanted = network.state_dict()
    prefix = next((x for x in _PREFIXES if any(key.startswith(x) for key in wanted)), None)
    if prefix is None:
        raise ExportError(f"--encoder {path}: this network has no encoder of its own; use --init")
    mine = {k: v for k, v in wanted.items() if k.startswith(prefix) and not k.endswith(_COUNTER)}
    weights = {k: v for k, v in read_weights(path).items() if not k.endswith(_COUNTER)}
    found = _by_name(mine, weights, prefix)
    way = "by name"
    if found is None and path.suffix == ".safetensors":
        raise ExportError(
            f"--encoder {path}: other names than the encoder's, and safetensors keeps no order; "
            "give "
            "the torch file (.pth)"
        )
    if found is None:
        found, way = _in_order(path, mine, weights), "in order"
    check_finite(path, found)
    network.load_state_dict(
        {key: value.to(mine[key].dtype) for key, value in found.items()}, strict=False
    )
    return f"{path}: {len(found)} tensors for {prefix.rstrip('.')}, {way}"


def _by_name(
    mine: Mapping[str, Tensor], weights: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor] | None:
    found = {}
    for key, value in mine.items():
        other = weights.get(key, weights.get(key.removeprefix(prefix)))
        if other is None or other.shape != value.shape:
            return None
        found[key] = other
    return found


def _in_order(
    path: Path, mine: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    found = {}
    for (key, value), (name, other) in zip(mine.items(), weights.items(), strict=False):
        if value.shape != other.shape:
            raise ExportError(
                f"--encoder {path}: {name} {tuple(other.shape)} stands where the encoder has {key} "
                f"{tuple(value.shape)}; give weights of the same architecture"
            )
        found[key] = other
    if len(found) < len(mine):
        raise ExportError(
            f"--encoder {path}: has {len(found)} of the {len(mine)} tensors of the encoder; give "
            "weights of the same architecture"
        )
    return found
