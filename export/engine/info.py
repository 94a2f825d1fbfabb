"""What there is to know of an engine without running it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from export.errors import ExportError
from export.onnx.cost import cost_of
from vcam.engine_toml import EngineManifest, read_engine_toml
from vcam.errors import EngineError


def info(path: Path) -> dict[str, Any]:
    """Of an engine folder what `engine.toml` says, and of each of its files, or of an .onnx file
    alone, the cost.

    Raises:
        ExportError: there is no engine, it cannot be read, or its shapes are not fixed.
    """
    if not path.is_dir():
        return {"files": [_file(path)]}
    try:
        manifest = read_engine_toml(path / "engine.toml")
    except EngineError as error:
        raise ExportError(str(error)) from error
    files = [
        {"precision": x.precision} | _file(path / x.name) | {"parity": dict(x.parity)}
        for x in manifest.files
    ]
    return _about(manifest) | {"files": files}


def _about(manifest: EngineManifest) -> dict[str, Any]:
    known = manifest.to_dict()
    height, width = manifest.size
    return {
        "model": manifest.model,
        "network": known["network"],
        "task": manifest.task,
        "input": f"{width}x{height}, {manifest.batch} a run",
        "classes": list(manifest.classes),
        "memory": manifest.memory,
        "licence": manifest.licence,
        "origin": manifest.origin.text,
        "samples": manifest.origin.samples,
        "pixels": known.get("pixels"),
    }


def _file(path: Path) -> dict[str, Any]:
    try:
        model = onnx.load(path, load_external_data=False)
        cost = cost_of(model)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ExportError(f"{path}: {error}; export it for one fixed size") from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExportError(f"{path}: no ONNX file ({reason})") from error
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "nodes": len(model.graph.node),
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "multiply_adds_by_kind": cost.by_kind,
    }


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The same for people to read."""
    about = [(name, value) for name, value in found.items() if name != "files" and value]
    lines = [f"{name:9} {_shown(value)}" for name, value in about]
    for file in found["files"]:
        lines.append(
            f"{file['name']}: {file['bytes'] / 1e6:.2f} MB, {file['nodes']} nodes, "
            f"{file['parameters'] / 1e6:.3f} million numbers, "
            f"{file['multiply_adds'] / 1e6:.0f} million multiply-adds a run"
        )
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(x)}" for name, x in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
