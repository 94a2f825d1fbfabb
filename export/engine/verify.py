"""Check that an engine folder is what its `engine.toml` says, and that its files still answer alike."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.engine.convert import load_network, parity_pictures
from export.errors import ExportError
from export.evaluation.engines import load_session
from export.onnx.parity import check_half, check_parity

_ANSWERS = {"person": "alpha", "face": "probs", "detect": "faces", "landmarks": "points"}
_FLOATS = {"detect", "landmarks"}
"""Tasks whose answers are numbers, not pixels."""
_IMAGES = 16


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """What to verify. Pictures as in `ConvertConfig`. With a checkpoint, float32 is compared with torch, too."""

    folder: Path
    images: Path | None = None
    data: Path | None = None
    checkpoint: Path | None = None
    preset: str | None = None


def verify(config: VerifyConfig) -> list[str]:
    """Check every file of an engine folder, and recompute parity; return one line per check.

    Raises:
        ExportError: `engine.toml` is missing or incomplete, a file is missing, altered, or breaks the contract, the
            pictures or the checkpoint are not usable, or the files differ more than the limits allow.
    """
    path = config.folder / "engine.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        lines = [_check(config.folder, file, document) for file in document["file"]]
        return lines + _parity(config, document)
    except OSError as error:
        raise ExportError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: not TOML ({error})") from error
    except KeyError as error:
        raise ExportError(f"{path}: the key {error} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise ExportError(
            f"{path}: a value is not what it should be ({error}); convert again"
        ) from error


def _check(folder: Path, file: dict[str, Any], document: dict[str, Any]) -> str:
    path = folder / file["name"]
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (file["bytes"], file["sha256"]):
        raise ExportError(
            f"{path}: not the file that engine.toml describes (sha256 {digest[:12]}...); convert again"
        )
    session = load_session(path)
    opset = onnx.load_from_string(data).opset_import[0].version
    if opset != document["opset"]:
        raise ExportError(f"{path}: opset {opset}, engine.toml says {document['opset']}")
    inputs = {x.name: x for x in session.get_inputs()}
    outputs = {x.name: x.type for x in session.get_outputs()}
    answer, kind = _ANSWERS[document["task"]], "uint8"
    if document["task"] in _FLOATS:
        kind = "float"
    if inputs["image"].type != "tensor(uint8)" or outputs.get(answer) != f"tensor({kind})":
        raise ExportError(
            f"{path}: not a {document['task']} engine (uint8 `image` in, {kind} `{answer}` out)"
        )
    size, said = (
        tuple(inputs["image"].shape[1:3]),
        (document["input"]["height"], document["input"]["width"]),
    )
    if size != said:
        raise ExportError(f"{path}: input {size}, engine.toml says {said}")
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    session.run(None, {name: np.zeros(x.shape, kinds[x.type]) for name, x in inputs.items()})
    return f"{file['engine']}: {file['name']}, {len(data)} bytes, opset {opset}, input {size[0]}x{size[1]}, runs"


def _parity(config: VerifyConfig, document: dict[str, Any]) -> list[str]:
    files = {
        file["precision"]: onnx.load(config.folder / file["name"]) for file in document["file"]
    }
    size = (int(document["input"]["height"]), int(document["input"]["width"]))
    if document["task"] in _FLOATS:
        return _face_parity(config, document, files)
    images = parity_pictures(document["task"], size, config.images, config.data, _IMAGES)
    lines = []
    if config.checkpoint and "fp32" in files:
        classes = ",".join(document["classes"])
        spec, network = load_network(
            document.get("network", document["model"]), config.checkpoint, config.preset, classes
        )
        exact = check_parity(network, spec, files["fp32"], images)
        lines.append(
            f"fp32 against torch: {exact.logit_max:.1e} in logits, {exact.output_max}/255, {exact.images} pictures"
        )
    if {"fp32", "fp16"} <= files.keys():
        half = check_half(files["fp32"], files["fp16"], images)
        lines.append(
            f"fp16 against fp32: {half.metric} {half.mean:.4f}, worst picture {half.worst:.4f}, {half.images} pictures"
        )
    return lines


def _face_parity(
    config: VerifyConfig, document: dict[str, Any], files: dict[str, onnx.ModelProto]
) -> list[str]:
    """The lines of a face detector or mesh; with the published file also against LiteRT."""
    from export.engine.faces import check_half_faces, check_litert, read_published
    from export.onnx.face_engines import FACE_ENGINES

    engine = FACE_ENGINES[document["model"]]
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
