"""What a training run is asked to do, and what it writes down of that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from export.data import faces, people, prior
from export.data.provenance import used_sets
from export.errors import ExportError
from export.models import CLEAR_PRESETS, ModelSpec
from export.weights.files import preset_of, sha256_of
from export.weights.record import (
    Record,
    horizon_of,
    is_clear,
    read_record,
    record_of,
    spec_record,
    surroundings,
    warmup_of,
)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run. `samples` is the length of the cosine schedule; `checkpoint_s` the most an interruption costs.

    `warmup_samples` and `ema_samples` are at most a tenth and a sixth of `samples`.

    `finish`: the last phase, on pictures that are changed less; from weights that have seen the first one.
    `data`: a folder with the sets person/ccp, person/cutouts, ..., or sets in other layouts (`export.data.readers`).
    `licence`: "clear" leaves out pictures whose rights are unclear or exclude commercial use.
    `task`: "person" teaches the encoder of a face network to see people first; else the model's own.
    `teacher`: labels for pixels that have none: a checkpoint of `teacher_model`, or an engine (folder, .onnx, .tflite).
    `consistency`: weight of `consistency_loss`; above 0 each picture is seen twice.
    `size`: (height, width) that the network sees while training, multiples of 32; None: the model's own. A first phase
    on smaller pictures is faster by the ratio of the areas ("progressive resizing").
    `occluders`: the share of faces, 0 to 1, that something covers in part. `keep_glasses`: CelebAMask-HQ's glasses are
    skin; else they are taken out of the face.
    `distil`: checkpoints or engines whose mattes soften hard labels before training (`export.data.distil`); the first
    one speaks for every set, the others for photographs only.
    `bfloat16`: the network computes in bfloat16 on a CPU, too; a GPU always does.
    """

    model: str
    data: tuple[Path, ...]
    out: Path
    samples: int = 300_000
    batch: int = 32
    rate: float = 3e-3
    warmup_samples: int = 6_000
    weight_decay: float = 1e-4
    ema_samples: int = 20_000
    checkpoint_s: float = 120.0
    seed: int = 1
    workers: int = 1
    compile: bool = False
    finish: bool = False
    task: str = ""
    teacher: Path | None = None
    teacher_model: str = "portraitnet_lite"
    consistency: float = 0.0
    licence: str = "any"
    size: tuple[int, int] | None = None
    occluders: float = faces.OCCLUDERS
    keep_glasses: bool = False
    bfloat16: bool = False
    distil: tuple[Path, ...] = ()

    def in_bfloat16(self, device: torch.device) -> bool:
        """Whether the network computes in bfloat16 there."""
        return self.bfloat16 or device.type == "cuda"


_FREE = (
    "data",
    "out",
    "samples",
    "batch",
    "rate",
    "workers",
    "compile",
    "bfloat16",
    "checkpoint_s",
)
"""Settings that may change when a run goes on; its record keeps each change."""


def as_begun(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """The settings with which the run in `config.out` was begun, but those of `config` that are named in `given`."""
    record = read_record(config.out) or {}
    kept = {name: value for name, value in _settings(record).items() if name not in given}
    return replace(config, **kept)


def _settings(record: Record) -> dict[str, Any]:
    """The fields of `TrainConfig` in a record, without the folder, which may have moved."""
    known = {
        x.name: record[x.name] for x in fields(TrainConfig) if x.name in record and x.name != "out"
    }
    if "data" in known:
        known["data"] = tuple(Path(folder) for folder in known["data"])
    if known.get("teacher"):
        known["teacher"] = Path(known["teacher"])
    if "distil" in known:
        known["distil"] = tuple(Path(x) for x in known["distil"])
    if known.get("size"):
        known["size"] = tuple(known["size"])
    return known


def check_folder(
    config: TrainConfig, resume: bool, init: Path | None, before: Record | None
) -> None:
    """Refuse to write over a run, or to go on with one under other settings. before: the record of that run.

    Raises:
        ExportError: as said.
    """
    if resume and init is not None:
        raise ExportError(
            f"--init {init}: a run that goes on has weights; leave it out, or begin without --resume"
        )
    if resume and before is None and (config.out / "last.pt").exists():
        raise ExportError(
            f"{config.out / 'run.json'}: not a record, so the run cannot go on; begin another with --out"
        )
    if not resume and any((config.out / name).exists() for name in ("last.pt", "ema.safetensors")):
        raise ExportError(
            f"{config.out}: holds a run; go on with --resume, or give another folder with --out"
        )
    for name, begun in _settings(before or {}).items():
        if name not in _FREE and getattr(config, name) != begun:
            raise ExportError(
                f"{name} {getattr(config, name)}: the run in {config.out} was begun with {begun}; leave it out, "
                "or begin another with --out"
            )


def described(
    config: TrainConfig,
    spec: ModelSpec,
    device: torch.device,
    seen: int,
    before: Record | None,
    init: Path | None,
) -> Record:
    """The record of a run that begins or goes on: its settings, its data, and under what each part of it ran."""
    record = dict(before or {})
    if not before:
        record["init"] = record_of(init) if init else None
        record |= {"init_file": init.name, "init_sha256": sha256_of(init)} if init else {}
        if config.distil:
            record["distil_sha256"] = [sha256_of(path) for path in config.distil]
        if config.teacher is not None:
            record["teacher_record"] = record_of(config.teacher)
            told = config.teacher if config.teacher.is_file() else config.teacher / "engine.toml"
            record |= {"teacher_sha256": sha256_of(told)} if told.is_file() else {}
    sets = used_sets(config.data, spec.task, config.licence)
    present = {one["sha256"] for one in sets}
    part = {"from": seen, "device": str(device), "batch": config.batch, "rate": config.rate}
    part |= {"samples": config.samples, "workers": config.workers, "compile": config.compile}
    part |= {"bfloat16": config.in_bfloat16(device)}
    return (
        record
        | asdict(config)
        | {
            "spec": spec_record(spec),
            "warmup": warmup_of(config.warmup_samples, config.samples),
            "horizon": horizon_of(config.ema_samples, config.samples),
            "sets": [
                *sets,
                *(one for one in record.get("sets", []) if one["sha256"] not in present),
            ],
            "draws": faces.draws(config.finish, config.occluders)
            if spec.task == "face"
            else people.draws(config.finish) | ({"before": prior.SHARES} if spec.memory else {}),
            "segments": [*record.get("segments", []), part | surroundings(device)],
        }
    )


def check_rights(config: TrainConfig, init: Path | None) -> None:
    """Refuse weights under `--licence clear` that may have seen other pictures: they remember, and a teacher tells.

    Raises:
        ExportError: as said.
    """
    for path in (init, config.teacher, *config.distil):
        if config.licence != "clear" or path is None or preset_of(path) in CLEAR_PRESETS:
            continue
        if not is_clear(record_of(path)):
            raise ExportError(
                f"{path}: not known to have seen only pictures whose rights are clear (--licence clear); leave it out, "
                "or give weights that were trained with that filter"
            )
