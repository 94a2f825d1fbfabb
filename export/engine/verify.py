"""Check that an engine folder is what its `engine.toml` says, and that its files still answer
alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from export.data.image import Image
from export.engine.convert import load_network, parity_pictures
from export.errors import ExportError
from export.evaluation.engines import load_session
from export.models import ModelSpec
from export.onnx.parity import check_half, check_parity, check_rounded
from export.weights.files import read_weights
from vcam.engine_toml import EngineFile, EngineManifest, read_engine_toml
from vcam.errors import EngineError

_FLOATS = {"detect", "landmarks"}
"""Tasks whose answers are numbers, not pixels."""
_IMAGES = 16


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """What to verify. Pictures as in `ConvertConfig`. With a checkpoint, float32 is compared with
    torch, too.
    """

    folder: Path
    images: Path | None = None
    data: Path | None = None
    checkpoint: Path | None = None
    preset: str | None = None


def verify(config: VerifyConfig) -> list[str]:
    """Check every file of an engine folder, and recompute parity; return one line per check.

    Raises:
        ExportError: `engine.toml` is missing or incomplete, a file is missing, altered, or breaks
            the contract, the pictures or the checkpoint are not usable, or the files differ more
            than the limits allow.
    """
    try:
        manifest = read_engine_toml(config.folder / "engine.toml")
        lines = [_check(config.folder, file, manifest) for file in manifest.files]
        return lines + _parity(config, manifest)
    except OSError as error:
        raise ExportError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except EngineError as error:
        raise ExportError(str(error)) from error


def _check(folder: Path, file: EngineFile, manifest: EngineManifest) -> str:
    path = folder / file.name
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (file.bytes, file.sha256):
        raise ExportError(
            f"{path}: not the file that engine.toml describes (sha256 {digest[:12]}...); convert "
            "again"
        )
    session = load_session(path)
    opset = onnx.load_from_string(data).opset_import[0].version
    if opset != manifest.opset:
        raise ExportError(f"{path}: opset {opset}, engine.toml says {manifest.opset}")
    inputs = {x.name: x for x in session.get_inputs()}
    outputs = {x.name: x.type for x in session.get_outputs()}
    answer, kind = manifest.output, "uint8"
    if manifest.task in _FLOATS:
        kind = "float"
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    known = all(
        x.type in kinds and all(isinstance(d, int) for d in x.shape) for x in inputs.values()
    )
    image = inputs.get("image")
    if (
        not known
        or image is None
        or image.type != "tensor(uint8)"
        or outputs.get(answer) != f"tensor({kind})"
    ):
        raise ExportError(
            f"{path}: not a {manifest.task} engine (uint8 `image` in, {kind} `{answer}` out)"
        )
    size = tuple(image.shape[1:3])
    if size != manifest.size:
        raise ExportError(f"{path}: input {size}, engine.toml says {manifest.size}")
    session.run(None, {name: np.zeros(x.shape, kinds[x.type]) for name, x in inputs.items()})
    return (
        f"{file.engine}: {file.name}, {len(data)} bytes, opset {opset}, input "
        f"{size[0]}x{size[1]}, runs"
    )


def _parity(config: VerifyConfig, manifest: EngineManifest) -> list[str]:
    files = {file.precision: onnx.load(config.folder / file.name) for file in manifest.files}
    if manifest.task in _FLOATS:
        return _face_parity(config, manifest, files)
    images = parity_pictures(manifest.task, manifest.size, config.images, config.data, _IMAGES)
    lines = []
    if config.checkpoint and "fp32" in files:
        classes = ",".join(manifest.classes)
        spec, network = load_network(
            manifest.network or manifest.model,
            config.checkpoint,
            config.preset or manifest.origin.preset or None,
            classes,
        )
        lines.append(_against_torch(config.checkpoint, network, spec, files["fp32"], images))
    if {"fp32", "fp16"} <= files.keys():
        half = check_half(files["fp32"], files["fp16"], images)
        lines.append(
            f"fp16 against fp32: {half.metric} {half.mean:.4f}, worst picture {half.worst:.4f}, "
            f"{half.images} pictures"
        )
    return lines


def _against_torch(
    checkpoint: Path, network: nn.Module, spec: ModelSpec, single: onnx.ModelProto, images: Image
) -> str:
    """The float32 file against torch; weights that are kept in half precision are compared as a
    float16 file is.
    """
    if any(value.dtype == torch.float16 for value in read_weights(checkpoint).values()):
        near = check_rounded(network, spec, single, images)
        return (
            f"fp32 against torch: {near.metric} {near.mean:.4f}, worst picture {near.worst:.4f}, "
            f"{near.images} "
            f"pictures; {checkpoint.name} keeps weights in half precision, so not to the last digit"
        )
    exact = check_parity(network, spec, single, images)
    return (
        f"fp32 against torch: {exact.logit_max:.1e} in logits, {exact.output_max}/255, "
        f"{exact.images} pictures"
    )


def _face_parity(
    config: VerifyConfig, manifest: EngineManifest, files: dict[str, onnx.ModelProto]
) -> list[str]:
    """The lines of a face detector or mesh; with the published file also against LiteRT."""
    from export.engine.faces import check_half_faces, check_litert, read_published
    from export.onnx.face_engines import FACE_ENGINES

    engine = FACE_ENGINES.get(manifest.model)
    if engine is None:
        known = ", ".join(FACE_ENGINES)
        raise ExportError(f"{config.folder}: {manifest.model} is none of {known}; convert again")
    images = parity_pictures("face", (engine.side,) * 2, config.images, config.data, _IMAGES)
    lines = []
    if config.checkpoint:
        data = read_published(engine, config.checkpoint)
        exact = check_litert(engine, data, files["fp32"], images)
        lines.append(
            f"fp32 against LiteRT: {exact.relative_max:.1e} of the largest number, "
            f"{exact.images} pictures"
        )
    half = check_half_faces(engine, files["fp32"], files["fp16"], images)
    lines.append(
        f"fp16 against fp32: scores {half.score_max:.1e}, places {half.place_mean:.1e} of the "
        f"side, {half.images} pictures"
    )
    return lines
