"""Turn a checkpoint into an engine folder: graph, parity, quality, `engine.toml` and card, all of it or nothing."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from export import toml
from export.card import Training, card
from export.checkpoints import preset_of, read_checkpoint
from export.data.person import read_manifest
from export.data.scenes import pictures
from export.data.sources import SOURCES
from export.errors import ExportError
from export.evaluate import OnnxMatting, Score, evaluate
from export.models import PRESETS, ModelSpec, find_model, find_preset
from export.onnx_graph import OPSET, check_size, engine_graph
from export.parity import check_parity

ENGINES = Path(__file__).resolve().parent.parent / "engines"
_PARITY_IMAGES = 32
_PARITY_SET = "person/wild"


@dataclass(frozen=True, slots=True)
class ConvertConfig:
    """What to convert. Pictures for parity come from `images`, else from `data`; with `data`, quality is measured."""

    model: str
    checkpoint: Path
    out: Path
    size: tuple[int, int] | None = None
    preset: str | None = None
    images: Path | None = None
    data: Path | None = None
    licence: str = "Apache-2.0"


def convert(config: ConvertConfig) -> Path:
    """Write the engine folder `config.out`, in the place of an older one, and return it.

    Raises:
        ExportError: the checkpoint, the pictures or the data are not usable, or parity fails; `out` is as before.
    """
    spec = _spec(config)
    size = config.size or spec.size
    check_size(size)
    network = spec.build()
    network.load_state_dict(read_checkpoint(config.checkpoint, spec))
    folder = config.images or (config.data / _PARITY_SET if config.data else None)
    if folder is None:
        raise ExportError("parity needs real pictures: name a folder with --images or --data")
    images = pictures(folder, size, _PARITY_IMAGES)
    model = engine_graph(network, spec, size)
    parity = check_parity(network, spec, model, images)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{config.out.name}-", dir=config.out.parent) as temporary:
        made = Path(temporary) / "engine"
        made.mkdir()
        file = _write_graph(made, f"{spec.name}_fp32", "fp32", model) | {"parity": asdict(parity)}
        scores = evaluate(OnnxMatting(made / file["name"]), config.data) if config.data else []
        training = _training(config)
        (made / "engine.toml").write_text(toml.dumps(_document(spec, size, training, [file], scores)), encoding="utf-8")
        (made / "CARD.md").write_text(card(spec.name, size, training, [file], scores), encoding="utf-8")
        _put(made, config.out, Path(temporary) / "old")
    return config.out


def _spec(config: ConvertConfig) -> ModelSpec:
    name = config.preset or preset_of(config.checkpoint)
    return find_preset(name, config.model).spec if name else find_model(config.model)


def _write_graph(folder: Path, engine: str, precision: str, model: onnx.ModelProto) -> dict[str, Any]:
    data = model.SerializeToString(deterministic=True)
    (folder / f"{engine}.onnx").write_bytes(data)
    return {
        "engine": engine,
        "name": f"{engine}.onnx",
        "precision": precision,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _training(config: ConvertConfig) -> Training:
    """What the files beside a checkpoint of our own say about its training; published weights have none."""
    name = config.preset or preset_of(config.checkpoint)
    if name:
        preset = PRESETS[name]
        return Training(f"published, {preset.source}", preset.licence, {}, 0, {})
    folder = config.checkpoint.parent
    try:
        settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        with (folder / "log.csv").open(newline="") as file:
            samples = int(list(csv.reader(file))[-1][0])
    except (OSError, ValueError, IndexError):
        return Training("given by the user; no record of a training beside them", config.licence, {}, 0, {})
    return Training("trained by this project", config.licence, settings, samples, _counts(config.data))


def _counts(data: Path | None) -> dict[str, int]:
    if data is None:
        return {}
    sets = [source.folder for source in SOURCES]
    return {name: sum(row["split"] == "train" for row in read_manifest(data / name)) for name in sets}


def _document(
    spec: ModelSpec, size: tuple[int, int], training: Training, files: list[dict[str, Any]], scores: list[Score]
) -> dict[str, Any]:
    return {
        "format": 1,
        "task": "person",
        "model": spec.name,
        "classes": list(spec.classes),
        "licence": training.licence,
        "opset": OPSET,
        "input": {"name": "image", "height": size[0], "width": size[1]},
        "output": {"name": "alpha"},
        "training": {"origin": training.origin, "samples": training.samples, "sets": list(training.counts)},
        "file": files,
        "quality": [{"engine": files[0]["engine"], **asdict(score)} for score in scores],
    }


def _put(made: Path, out: Path, old: Path) -> None:
    """Put a finished folder in the place of an older one, which is moved away first and back on failure."""
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
