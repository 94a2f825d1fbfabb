"""Check that an engine folder is what its `engine.toml` says."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.errors import ExportError
from export.evaluate import OnnxMatting


def verify(folder: Path) -> list[str]:
    """Check every file of an engine folder; return one line per file.

    Raises:
        ExportError: `engine.toml` is missing or incomplete, or a file is missing, altered, or breaks the contract.
    """
    path = folder / "engine.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        size = (int(document["input"]["height"]), int(document["input"]["width"]))
        return [_check(folder, file, size, document["opset"]) for file in document["file"]]
    except OSError as error:
        raise ExportError(f"{error.filename}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise ExportError(f"{path}: not TOML ({error})") from error
    except KeyError as error:
        raise ExportError(f"{path}: the key {error} is missing") from error


def _check(folder: Path, file: dict[str, Any], size: tuple[int, int], opset: int) -> str:
    path = folder / file["name"]
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (file["bytes"], file["sha256"]):
        raise ExportError(f"{path}: not the file that engine.toml describes (sha256 {digest[:12]}...); convert again")
    matting = OnnxMatting(path)
    actual = onnx.load_from_string(data).opset_import[0].version
    if actual != opset:
        raise ExportError(f"{path}: opset {actual}, engine.toml says {opset}")
    if matting.size != size:
        raise ExportError(f"{path}: input {matting.size}, engine.toml says {size}")
    matting.alpha(np.zeros((*size, 3), np.uint8))
    return f"{file['engine']}: {file['name']}, {len(data)} bytes, opset {actual}, input {size[0]}x{size[1]}, runs"
