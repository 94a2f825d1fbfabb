"""Read weights from untrusted sources: own runs, safetensors, published files.

Pickles are never executed: torch files are read with `weights_only`, which supports tensors and
    plain containers.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from export.errors import ExportError
from export.models import PRESETS, ModelSpec, family_of
from export.models.efficientnet_lite import from_published
from export.models.selfie import from_published as from_tflite
from export.weights.bounds import memory_bound
from export.weights.caffe import is_caffe, read_caffe
from export.weights.layouts import identify, is_weights_of
from export.weights.record import RunRecord, as_metadata, phases, record_of
from export.weights.tflite import is_tflite, read_tflite
from vcam.files import read_head, write_whole

_WRAPPERS = ("average", "state_dict", "network", "model")
"""Keys under which training files store weights, best first: our `last.pt`, the usual one, and two
more.
"""
_PREFIXES = ("module.", "deep_lab_v3.")
"""Prefixes of all names in a file: `DataParallel`'s, and that of face_segmentation."""
_COUNTER = ".num_batches_tracked"
_SHOWN = 3


def read_checkpoint(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    """Read the weights of `spec` from a safetensors or torch file, complete and ready for
    `load_state_dict`.

    Returns float32 tensors on the CPU for any precision of the file; counters of batch
    normalisation, which inference does not use, are zero if the file has none.

    Raises:
        ExportError: the file does not exist, is not a checkpoint, is damaged or unsafe, or has
            another network's weights.
    """
    return fit_weights(path, spec, read_weights(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read all named tensors of a safetensors or torch file, without the prefixes of
    `DataParallel`; or the weights of `Selfie` in a .tflite file.

    Raises:
        ExportError: the file does not exist, is not a checkpoint, or is damaged or unsafe.
    """
    head = _head(path)
    if is_tflite(path):
        return from_tflite(read_tflite(path), str(path))
    if is_caffe(path, head):
        return read_caffe(path)
    loaded = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    state = _unwrap(path, loaded)
    for prefix in _PREFIXES:
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def fit_weights(path: Path, spec: ModelSpec, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of `path` as `read_checkpoint` returns them.

    Tensors that are only used in training are left out, see `training_only`.

    Raises:
        ExportError: they are another network's, incomplete, or not finite.
    """
    left_out = training_only(spec, weights)
    state = {key: value for key, value in weights.items() if key not in left_out}
    wanted = spec.build().state_dict()
    for key, value in wanted.items():
        if key.endswith(_COUNTER):
            state.setdefault(key, torch.zeros_like(value))
    _compare(path, spec, state, wanted)
    return {key: state[key].to(wanted[key].dtype) for key in wanted}


def training_only(spec: ModelSpec, weights: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that a model's network uses only in training: auxiliary heads."""
    prefixes = family_of(spec.name).training_only
    return [key for key in weights if key.startswith(prefixes)] if prefixes else []


def start_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The weights in a file that fit a network, to start a training from; a different head is left
    out.

    Published ImageNet weights of EfficientNet-Lite0 are loaded into the encoder. If only the
    network has a channel for the previous frame, its weights are 0, so training begins without
    using it.

    Raises:
        ExportError: not a checkpoint, less than half of the network's tensors are in it, or some
            are not finite.
    """
    weights = read_weights(path)
    if "_conv_stem.weight" in weights:
        weights = {f"encoder.{key}": value for key, value in from_published(weights).items()}
    wanted = network.state_dict()
    weights = {k: _with_prior(v, wanted[k]) for k, v in weights.items() if k in wanted}
    found = {k: v.to(wanted[k].dtype) for k, v in weights.items() if v.shape == wanted[k].shape}
    if len(found) < len([k for k in wanted if not k.endswith(_COUNTER)]) / 2:
        raise ExportError(
            f"{path}: weights of another network ({len(found)} of {len(wanted)} fit); start without"
        )
    check_finite(path, found)
    return found


def _with_prior(value: Tensor, wanted: Tensor) -> Tensor:
    """Extend a first convolution of three channels by a fourth one; return other weights
    unchanged.
    """
    if (
        value.ndim == 4
        and wanted.shape == (len(value), 4, *value.shape[2:])
        and value.shape[1] == 3
    ):
        return functional.pad(value, (0, 0, 0, 0, 0, 1))
    return value


def write_half(path: Path, out: Path) -> None:
    """Copy weights to a safetensors file in half precision, with their training record.

    Raises:
        ExportError: not a checkpoint, or the file cannot be written.
    """
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in read_weights(path).items()
    }
    weights = {key: value.contiguous() for key, value in weights.items()}
    _write(out, weights, record_of(path))


def write_average(paths: Sequence[Path], out: Path, share: float | None = None) -> None:
    """Write the mean of the weights of one training, the last phase's last.

    A mean of phases is often better than its parts (Wortsman et al., "Model soups", ICML 2022,
    arXiv 2203.05482). One with a little of the published weights that a training started from keeps
    what they knew of other pictures (Wortsman et al., "Robust fine-tuning of zero-shot models",
    CVPR 2022, arXiv 2109.01903). The record is the last phase's, with what was averaged.

    Args:
        paths: weights that phases of one training started from or left.
        out: the .safetensors file to write.
        share: of the last weights, 0 to 1; the others share the rest equally. None: all are equal.

    Raises:
        ExportError: not checkpoints, of different networks, or not of one training; or the file
            cannot be written.
    """
    *earlier, last = paths
    if not earlier:
        raise ExportError(f"{last}: one file has no mean; give two or more")
    record = record_of(last)
    started_from = {run.init_sha256 for run in phases(record)}
    for path in earlier:
        if sha256_of(path) not in started_from:
            raise ExportError(
                f"{path}: {last} did not start from it; give weights of one training, the last "
                "ones last"
            )
    states = [
        {k: v for k, v in read_weights(path).items() if v.is_floating_point()} for path in paths
    ]
    for path, state in zip(paths, states, strict=True):
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in states[0].items()}:
            raise ExportError(
                f"{path}: not the network of {paths[0]}; weights of one network can be averaged"
            )
    own = 1 / len(paths) if share is None else share
    shares = [(1 - own) / len(earlier)] * len(earlier) + [own]
    mean = {
        key: torch.stack(
            [part * state[key].float() for part, state in zip(shares, states, strict=True)]
        ).sum(0)
        for key in states[0]
    }
    names = tuple(path.name for path in earlier)
    _write(out, mean, record and replace(record, averaged=len(paths), mean_of=names, share=own))


def _write(out: Path, weights: dict[str, Tensor], record: RunRecord | None) -> None:
    metadata = as_metadata(record)
    try:
        write_whole(out, save(weights, metadata))
    except (OSError, SafetensorError) as error:
        raise ExportError(f"{out}: cannot be written ({error})") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def preset_of(path: Path) -> str | None:
    """The name of the published weights with the same bytes."""
    digest = sha256_of(path) if path.is_file() else None
    return next((name for name, preset in PRESETS.items() if preset.sha256 == digest), None)


def _head(path: Path) -> bytes:
    """Read the first bytes of a regular file; refuse a pipe without waiting for it."""
    try:
        return read_head(path, 512)
    except OSError as error:
        raise ExportError(
            f"{path}: cannot be read ({error.strerror}); give a checkpoint file"
        ) from error


def _is_safetensors(path: Path) -> bool:
    head = _head(path)
    if head.lstrip()[:1] == b"<":
        raise ExportError(
            f"{path}: a web page, not a checkpoint; the download needs a login or another address"
        )
    if head.startswith(b"version https://git-lfs"):
        raise ExportError(
            f"{path}: a Git LFS pointer, not a checkpoint; fetch the file itself with `git lfs "
            "pull`"
        )
    return path.suffix == ".safetensors" or head[8:9] == b"{"


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ExportError(
            f"{path}: not a complete safetensors file ({error}); fetch or save it again"
        ) from error


class _Ignored:
    """Replaces a NumPy scalar or type beside the weights, such as a loss, which is neither built
    nor needed.
    """

    def __init__(self, *parts: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_HARMLESS: list[Any] = [
    (_Ignored, "numpy.core.multiarray.scalar"),
    (_Ignored, "numpy._core.multiarray.scalar"),
    (_Ignored, "numpy.dtype"),
    (_Ignored, "_codecs.encode"),
]
"""PortraitNet's training files, written by Python 2, keep their loss as such a scalar."""
_LARGEST_GROWTH = 2
_SMALL_BYTES = 128 << 20
"""A torch file is not compressed: reading takes its own size, plus Python's overhead for names."""
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def _read_torch(path: Path) -> Any:
    """Read a torch file with little more memory than its size: it may be compressed, or contain
    copies of copies.
    """
    most_bytes = _LARGEST_GROWTH * path.stat().st_size + _SMALL_BYTES
    try:
        with (
            memory_bound(most_bytes),
            torch.serialization.safe_globals(_HARMLESS),
            warnings.catch_warnings(),
        ):
            # torch documents that `encoding` has no effect here, but it has: a Python 2 string may
            # contain any bytes
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        reason = (
            f"would run code when loaded ({found[1]})" if found else "is not a torch checkpoint"
        )
        raise ExportError(
            f"{path}: {reason}; save its state_dict alone, best as safetensors"
        ) from error
    except Exception as error:  # torch's reader raises various exceptions for bad files
        grows = isinstance(error, MemoryError) or "allocate memory" in str(error)
        reason = (
            f"unfolds to more than {most_bytes >> 20} MiB"
            if grows
            else "damaged or not a torch checkpoint"
        )
        raise ExportError(f"{path}: {reason}; fetch or save it again") from error


def _unwrap(path: Path, loaded: Any) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise ExportError(
            f"{path}: holds a {type(loaded).__name__}, not named weights; save a state_dict"
        )
    state = {str(key): value for key, value in loaded.items() if isinstance(value, Tensor)}
    if not state:
        raise ExportError(f"{path}: holds no weights; give a checkpoint file")
    for key, value in state.items():
        whole = value.layout == torch.strided and not value.is_meta
        if not whole or value.nbytes > value.untyped_storage().nbytes():
            raise ExportError(
                f"{path}: {_few([key])} claims more numbers than the file holds; fetch or save it "
                "again"
            )
    return state


def _compare(
    path: Path, spec: ModelSpec, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    missing = [key for key in wanted if key not in state]
    unknown = [key for key in state if key not in wanted]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    named = (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
    problems = [f"{len(keys)} {what} ({_few(keys)})" for what, keys in named if keys]
    if problems:
        other = "" if is_weights_of(spec, state) else f" but of {identify(state)}"
        raise ExportError(f"{path}: not the weights of {spec.name}{other}: {'; '.join(problems)}")
    check_finite(path, state)


def check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not finite.

    Raises:
        ExportError: some are infinite or NaN.
    """
    broken = [
        key
        for key, value in state.items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise ExportError(
            f"{path}: {len(broken)} weights are not finite ({_few(broken)}); the training diverged"
        )


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
