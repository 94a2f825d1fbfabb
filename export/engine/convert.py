"""Turn a checkpoint into an engine folder: graph, parity, quality, `engine.toml` and card, all of it or nothing."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from torch import nn

from export.data.image import Image
from export.engine import toml
from export.engine.card import Training, card
from export.engine.card_quality import read_peers
from export.engine.card_training import sets_of
from export.errors import ExportError
from export.evaluation.engines import open_onnx
from export.evaluation.measures import Score
from export.evaluation.scenes import own_pictures, pictures
from export.evaluation.still import evaluate
from export.models import PRESETS, ModelSpec, find_model, find_preset
from export.onnx.graph import OPSET, check_size, engine_graphs
from export.onnx.half import to_half
from export.onnx.parity import check_half, check_parity
from export.weights.files import fit_weights, preset_of, read_weights, sha256_of
from export.weights.layouts import resolve
from export.weights.record import record_of, samples_seen

ENGINES = Path(__file__).resolve().parents[2] / "engines"
CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
_MANY_IMAGES, _FEW_IMAGES = 32, 12
_LARGE = 1_000_000
_OWN_LICENCE, _NO_LICENCE = "Apache-2.0", "unknown; ask the authors of the weights"
_PARITY_SETS = {"person": "person/wild", "face": "face/real"}


@dataclass(frozen=True, slots=True)
class ConvertConfig:
    """What to convert. Pictures for parity come from `images`, else from `data`; with `data`, quality is measured.

    Without both, parity is measured on views of the one photo that ships with the runtime. `classes`: names with
    commas between, or their number, where the checkpoint leaves a choice.
    `licence`: of the weights; Apache-2.0 of our own, not known of others unless given. `peers`: others' scores, for
    the card.
    """

    model: str
    checkpoint: Path
    out: Path
    size: tuple[int, int] | None = None
    preset: str | None = None
    images: Path | None = None
    data: Path | None = None
    licence: str | None = None
    classes: str | None = None
    batch: int = 1
    peers: Path | None = None


def convert(config: ConvertConfig) -> Path:
    """Write the engine folder `config.out`, in the place of an older one, and return it.

    Raises:
        ExportError: the checkpoint, the pictures or the data are not usable, or parity fails; `out` is as before.
    """
    spec, network = load_network(config.model, config.checkpoint, config.preset, config.classes)
    size = config.size or spec.size
    check_size(size)
    peers = read_peers(config.peers, spec.task) if config.peers else []
    images = parity_pictures(spec.task, size, config.images, config.data, parity_images(network))
    single, plain = engine_graphs(network, spec, size, config.batch)
    half = to_half(plain, spec.single)
    parity = {
        "fp32": asdict(check_parity(network, spec, single, images)),
        "fp16": asdict(check_half(single, half, images)),
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{config.out.name}-", dir=config.out.parent
    ) as temporary:
        made = Path(temporary) / "engine"
        made.mkdir()
        files = [
            write_graph(made, f"{spec.name}_{precision}", precision, model)
            | {"parity": parity[precision]}
            for precision, model in (("fp32", single), ("fp16", half))
        ]
        scores = (
            evaluate(open_onnx(made / files[0]["name"], spec.classes), config.data)
            if config.data
            else []
        )
        training = _training(config, spec)
        document = _document(spec, size, config, training, files, scores)
        (made / "engine.toml").write_text(toml.dumps(document), encoding="utf-8")
        text = card(
            spec, size, config.batch, parameters_of(network), training, files, scores, peers
        )
        (made / "CARD.md").write_text(text, encoding="utf-8")
        put(made, config.out, Path(temporary) / "old")
    return config.out


def load_network(
    model: str, checkpoint: Path, preset: str | None = None, classes: str | None = None
) -> tuple[ModelSpec, nn.Module]:
    """The variant of a model that a checkpoint holds, with its weights.

    Raises:
        ExportError: the model or the preset is unknown, or the checkpoint is not usable.
    """
    spec = find_model(model)
    name = preset or preset_of(checkpoint)
    if preset is None and name and PRESETS[name].spec.name != model:
        raise ExportError(
            f"{checkpoint}: the published weights of {PRESETS[name].spec.name}, not of {model}; "
            f"convert {PRESETS[name].spec.name}"
        )
    if name:
        spec = find_preset(name, model).spec
    weights = read_weights(checkpoint)
    spec = resolve(checkpoint, spec, weights, classes)
    network = spec.build()
    network.load_state_dict(fit_weights(checkpoint, spec, weights))
    return spec, network.eval()


def parity_images(network: nn.Module) -> int:
    """How many pictures to compare: fewer of a large network, which takes long on each."""
    return _FEW_IMAGES if parameters_of(network) > _LARGE else _MANY_IMAGES


def parameters_of(network: nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(x.numel() for x in network.parameters())


def parity_pictures(
    task: str, size: tuple[int, int], images: Path | None, data: Path | None, most: int
) -> Image:
    """uint8 [N, H, W, 3] RGB of `size`: from `images`, else from a set of `data`, else of the photo in the runtime.

    Raises:
        ExportError: the folder has no pictures, or one cannot be read.
    """
    folder = images or (data / _PARITY_SETS[task] if data else None)
    return pictures(folder, size, most) if folder else own_pictures(size, most)


def write_graph(
    folder: Path, engine: str, precision: str, model: onnx.ModelProto
) -> dict[str, Any]:
    data = model.SerializeToString(deterministic=True)
    (folder / f"{engine}.onnx").write_bytes(data)
    return {
        "engine": engine,
        "name": f"{engine}.onnx",
        "precision": precision,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _training(config: ConvertConfig, spec: ModelSpec) -> Training:
    """What a checkpoint of our own says about its training; published weights say nothing."""
    name = config.preset or preset_of(config.checkpoint)
    if name:
        preset = PRESETS[name]
        return Training(f"published, {preset.source}", preset.licence)
    record = record_of(config.checkpoint)
    if record is None:
        return Training(
            "given by the user, without a record of their training", config.licence or _NO_LICENCE
        )
    ours = CHECKPOINTS / f"{spec.name}.safetensors"
    shipped = ours.is_file() and sha256_of(ours) == sha256_of(config.checkpoint)
    origin = (
        "trained by this project"
        if shipped
        else "trained with this project's `python -m export train`"
    )
    return Training(origin, config.licence or _OWN_LICENCE, record, shipped)


def _document(
    spec: ModelSpec,
    size: tuple[int, int],
    config: ConvertConfig,
    training: Training,
    files: list[dict[str, Any]],
    scores: list[Score],
) -> dict[str, Any]:
    state = (
        {"state": {"input": "state_in", "output": "state_out", "start": 0}} if spec.stateful else {}
    )
    return {
        "format": 1,
        "task": spec.task,
        "model": spec.name,
        "classes": list(spec.classes),
        "licence": training.licence,
        "opset": OPSET,
        "input": {"name": "image", "batch": config.batch, "height": size[0], "width": size[1]},
        "output": {"name": "alpha" if spec.task == "person" else "probs"},
        **state,
        "training": {
            "origin": training.origin,
            "samples": samples_seen(training.record),
            "sets": list(sets_of(training.record)),
        },
        "file": files,
        "quality": [
            {"engine": files[0]["engine"], **score.row()} for score in scores if not score.condition
        ],
    }


def put(made: Path, out: Path, old: Path) -> None:
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
