"""Turn a checkpoint into an engine folder: graph, parity, quality, `engine.toml` and card, all of
it or nothing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import nn

from export.data.image import Image
from export.engine.card import Training, card
from export.engine.card_quality import read_peers
from export.engine.card_training import rights_of, sets_of
from export.engine.folder import new_folder, write_graph, write_manifest
from export.errors import ExportError
from export.evaluation.engines import open_onnx
from export.evaluation.measures import Score
from export.evaluation.scenes import own_pictures, pictures
from export.evaluation.still import evaluate
from export.models import (
    PRESETS,
    TRAINED,
    ModelSpec,
    Preset,
    family_of,
    find_model,
    find_preset,
    model_of,
)
from export.onnx.graph import OPSET, check_size, engine_graphs
from export.onnx.parity import FEWEST_IMAGES, Graph, check_parity
from export.onnx.precision import half_graph
from export.training.recipes import find_recipe, under
from export.weights.files import (
    fit_weights,
    preset_of,
    read_weights,
    sha256_of,
    training_only,
)
from export.weights.layouts import origin_of, resolve
from export.weights.record import RunRecord, record_of, samples_seen
from vcam.engine_toml import EngineFile, EngineManifest, Origin, PixelFormat

ENGINES = Path(__file__).resolve().parents[2] / "engines"
CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
_IMAGES = ((1_000_000, 32), (20_000_000, 12))
"""Number of pictures to compare, by the maximum number of parameters."""
_OWN_LICENCE, _NO_LICENCE = "Apache-2.0", "unknown; ask the authors of the weights"
_OTHERS_LICENCE = "not stated; whoever trained the weights states it with --licence"
_PARITY_SETS = {"person": "person/wild", "face": "face/real"}


@dataclass(frozen=True, slots=True)
class ConvertConfig:
    """What to convert. Pictures for parity come from `images`, else from `data`; with `data`,
    quality is measured.

    Without both, parity is measured on views of the one photo that ships with the runtime.
    `classes`: names with commas between, or their number, where the checkpoint leaves a choice.
    `licence`: of the weights; Apache-2.0 of those in export/checkpoints, not known of others unless
    given. `peers`: others' scores, for the card. `name`: of the engine, if not the model's:
    letters, digits and underscores.
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
    name: str | None = None


def convert(config: ConvertConfig) -> Path:
    """Write the engine folder `config.out`, in the place of an older one, and return it.

    Raises:
        ExportError: the checkpoint, the pictures or the data are not usable, or parity fails; `out`
            is as before.
    """
    if config.name is not None and not re.fullmatch(r"[a-z0-9_]+", config.name):
        raise ExportError(
            f"--name {config.name!r}: not a name; use small letters, digits and underscores"
        )
    loaded = open_checkpoint(config.model, config.checkpoint, config.preset, config.classes)
    if config.name is not None:
        loaded = replace(loaded, spec=replace(loaded.spec, engine=config.name))
    spec, network = loaded.spec, loaded.network
    size = config.size or spec.size
    check_size(size, spec)
    peers = read_peers(config.peers, spec.task) if config.peers else []
    if loaded.left_out:
        _say(f"left out, as only training reads it: {loaded.left_out}")
    images = parity_pictures(spec.task, size, config.images, config.data, parity_images(network))
    _say(f"{spec.name} as ONNX, {size[0]}x{size[1]}")
    single, plain = engine_graphs(network, spec, size, config.batch)
    _say(f"fp32 against torch, {len(images)} pictures")
    answers = Graph(single, remember=True)
    exact = check_parity(network, spec, answers, images)
    half, near = half_graph(plain, answers, spec, images, _say)
    del answers
    parity = {"fp32": asdict(exact), "fp16": asdict(near)}
    with new_folder(config.out) as made:
        files = [
            write_graph(
                made, f"{spec.engine_name}_{precision}", precision, model, parity[precision]
            )
            for precision, model in (("fp32", single), ("fp16", half))
        ]
        scores = (
            evaluate(open_onnx(made / files[0].name, spec.classes, spec.fit), config.data)
            if config.data
            else []
        )
        training = _training(config, loaded)
        write_manifest(made, _manifest(loaded, size, config, training, files, scores))
        text = card(
            spec, size, config.batch, parameters_of(network), training, files, scores, peers
        )
        (made / "CARD.md").write_text(text, encoding="utf-8")
    return config.out


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that has been read. preset: who published it; record: of its training here;
    None: not known.

    left_out: which tensors only training reads, for example "auxiliary_head (8 tensors)"; or "".
    """

    spec: ModelSpec
    network: nn.Module
    preset: Preset | None
    record: RunRecord | None
    left_out: str = ""


def load_network(
    model: str, checkpoint: Path, preset: str | None = None, classes: str | None = None
) -> tuple[ModelSpec, nn.Module]:
    """The variant of a model that a checkpoint holds, and the network with its weights.

    Raises:
        ExportError: as `open_checkpoint`.
    """
    loaded = open_checkpoint(model, checkpoint, preset, classes)
    return loaded.spec, loaded.network


def open_checkpoint(
    model: str, checkpoint: Path, preset: str | None = None, classes: str | None = None
) -> Loaded:
    """Read a checkpoint of a model.

    How it sees colours belongs to where it comes from: the preset that is named or known by the
        file's sha256, else
    its record, else what the number of classes says.

    Raises:
        ExportError: the model or the preset is unknown, the checkpoint is not usable, or its origin
            is not clear.
    """
    spec = find_model(model)
    name = preset or preset_of(checkpoint)
    if preset is None and name and PRESETS[name] not in family_of(model).presets:
        other = model_of(name)
        raise ExportError(
            f"{checkpoint}: the published weights of {other}, not of {model}; convert {other}"
        )
    origin = find_preset(name, model) if name else None
    weights = read_weights(checkpoint)
    record = None if origin else record_of(checkpoint)
    if record is not None and record.settings.recipe:
        spec = under(find_recipe(record.settings.recipe, model), TRAINED[model])
        classes = classes or ",".join(record.network.classes)
    elif record is not None:
        spec = TRAINED.get(model, spec)
    spec = resolve(checkpoint, spec, weights, classes)
    fitted = fit_weights(checkpoint, spec, weights)
    seen = record.network.pixels if record else None
    if seen is not None:
        spec = replace(spec, pixels=seen)
    else:
        origin = origin or origin_of(checkpoint, spec, weights)
        spec = origin.applied(spec) if origin else spec
    network = spec.build()
    network.load_state_dict(fitted)
    return Loaded(spec, network.eval(), origin, record, _counted(training_only(spec, weights)))


def _counted(names: list[str]) -> str:
    """The parts of a network to which tensors belong, with their number."""
    parts = Counter(re.sub(r"(_head|_seg|_classifier)\..*", r"\1", name) for name in names)
    return ", ".join(f"{part} ({count} tensors)" for part, count in parts.items())


def _say(text: str) -> None:
    """Progress, for whoever waits; the answer alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def parity_images(network: nn.Module) -> int:
    """How many pictures to compare: fewer of a large network, which takes long on each."""
    size = parameters_of(network)
    return next((count for most, count in _IMAGES if size <= most), FEWEST_IMAGES)


def parameters_of(network: nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(x.numel() for x in network.parameters())


def parity_pictures(
    task: str, size: tuple[int, int], images: Path | None, data: Path | None, most: int
) -> Image:
    """uint8 [N, H, W, 3] RGB of `size`: from `images`, else from a set of `data`, else of the photo
    in the runtime.

    Raises:
        ExportError: the folder has no pictures, or one cannot be read.
    """
    folder = images or (data / _PARITY_SETS[task] if data else None)
    return pictures(folder, size, most) if folder else own_pictures(size, most)


def _training(config: ConvertConfig, loaded: Loaded) -> Training:
    """As `_origin`, and what of the file is not in the engine."""
    training = _origin(config, loaded)
    if not loaded.left_out:
        return training
    return replace(training, origin=f"{training.origin}; without {loaded.left_out}, for training")


def _origin(config: ConvertConfig, loaded: Loaded) -> Training:
    """What is known of how weights came about, and their licence: only that of our own is known
    without being said.
    """
    if loaded.preset and loaded.preset.sha256 == sha256_of(config.checkpoint):
        return Training(
            f"published, {loaded.preset.source}", config.licence or loaded.preset.licence
        )
    if loaded.preset:
        return Training(
            f"taken for weights of {loaded.preset.source}", config.licence or _NO_LICENCE
        )
    if loaded.record is None:
        return Training(
            "given by the user, without a record of their training", config.licence or _NO_LICENCE
        )
    ours = CHECKPOINTS / f"{loaded.spec.engine_name}.safetensors"
    shipped = ours.is_file() and sha256_of(ours) == sha256_of(config.checkpoint)
    if shipped:
        return Training(
            "trained by this project", config.licence or _OWN_LICENCE, loaded.record, shipped
        )
    origin = "trained with this project's `python -m export train`"
    return Training(origin, config.licence or _OTHERS_LICENCE, loaded.record)


def _manifest(
    loaded: Loaded,
    size: tuple[int, int],
    config: ConvertConfig,
    training: Training,
    files: list[EngineFile],
    scores: list[Score],
) -> EngineManifest:
    spec, record = loaded.spec, training.record
    preset = loaded.preset.name if loaded.preset else ""
    pixels = spec.pixels
    return EngineManifest(
        task=spec.task,
        model=spec.engine_name,
        network=spec.name,
        classes=spec.classes,
        licence=training.licence,
        opset=OPSET,
        size=size,
        batch=config.batch,
        memory=spec.memory,
        fit=spec.fit,
        pixels=PixelFormat("BGR" if pixels.bgr else "RGB", pixels.mean, pixels.std),
        origin=Origin(
            training.origin, preset, samples_seen(record), tuple(sets_of(record)), rights_of(record)
        ),
        files=tuple(files),
        quality=tuple(
            {"engine": files[0].engine, **score.row()} for score in scores if not score.condition
        ),
    )
