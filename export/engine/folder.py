"""An engine folder, written whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import tomli_w

from vcam.engine_toml import EngineFile, EngineManifest
from vcam.files import DraftFolder, remove_leftovers


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `out` if the block ends well; else `out` is as
    before.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out.parent)
    with DraftFolder(out.parent) as draft:
        made = draft.path / "engine"
        made.mkdir()
        yield made
        _put(made, out, draft.path / "old")


def write_graph(
    folder: Path, engine: str, precision: str, model: onnx.ModelProto, parity: Mapping[str, Any]
) -> EngineFile:
    """Write `<engine>.onnx`; the same graph gives the same bytes."""
    data = model.SerializeToString(deterministic=True)
    (folder / f"{engine}.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return EngineFile(f"{engine}.onnx", precision, digest, engine, len(data), parity)


def write_manifest(folder: Path, manifest: EngineManifest) -> None:
    """Write `engine.toml`."""
    (folder / "engine.toml").write_text(tomli_w.dumps(manifest.to_dict()), encoding="utf-8")


def _put(made: Path, out: Path, old: Path) -> None:
    """The older folder is moved away first, and back on failure."""
    if out.exists():
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    if old.exists():
        shutil.rmtree(old)
