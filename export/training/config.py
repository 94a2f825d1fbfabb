"""What a training run is asked to do, and what it writes down of that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from export.data import faces, people, prior
from export.data.provenance import used_sets
from export.data.readers.manifest import ManifestSet
from export.errors import ExportError
from export.models import CLEAR_PRESETS, ModelSpec
from export.training.recipes import find_recipe, sets_of
from export.weights.files import preset_of, sha256_of
from export.weights.record import (
    NetworkRecord,
    RunRecord,
    Segment,
    horizon_of,
    is_clear,
    network_record,
    read_record,
    record_of,
    surroundings,
    warmup_of,
)
from export.weights.settings import TrainConfig

__all__ = ["TrainConfig", "as_begun", "check_folder", "check_rights", "described"]

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
    "accumulate",
)
"""Settings that may change when a run goes on; its record keeps each change."""


def as_begun(config: TrainConfig, given: Collection[str]) -> TrainConfig:
    """The settings with which the run in `config.out` was begun, but those of `config` that are named in `given`."""
    record = read_record(config.out)
    if record is None:
        return config
    names = {x.name for x in fields(TrainConfig)} - {"out", *given} - record.unstated
    return replace(config, **{name: getattr(record.settings, name) for name in names})


def check_folder(
    config: TrainConfig, resume: bool, init: Path | None, before: RunRecord | None
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
    if before is None:
        return
    for name in (x.name for x in fields(TrainConfig) if x.name not in before.unstated):
        begun = getattr(before.settings, name)
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
    before: RunRecord | None,
    init: Path | None,
) -> RunRecord:
    """The record of a run that begins or goes on: its settings, its data, and the environment of each part."""
    record = before or _begun(config, network_record(spec), init)
    sets = used_sets(config.data, spec.task, config.licence)
    if config.recipe:
        names = sets_of(find_recipe(config.recipe, config.model))
        sets = [one for one in sets if one.layout != ManifestSet.__name__ or one.name in names]
    present = {one.sha256 for one in sets}
    part = Segment(
        begun_at=seen,
        device=str(device),
        batch=config.batch,
        rate=config.rate,
        samples=config.samples,
        workers=config.workers,
        compile=config.compile,
        bfloat16=config.in_bfloat16(device),
        **surroundings(device),
    )
    draws: dict[str, Any]
    if config.recipe:
        draws = {"recipe": config.recipe}
    elif spec.task == "face":
        draws = faces.draws(config.finish, config.occluders)
    else:
        draws = people.draws(config.finish) | ({"before": prior.SHARES} if spec.memory else {})
    return replace(
        record,
        settings=config,
        network=network_record(spec),
        sets=(*sets, *(one for one in record.sets if one.sha256 not in present)),
        draws=draws,
        segments=(*record.segments, part),
        warmup=warmup_of(config.warmup_samples, config.samples),
        horizon=horizon_of(config.ema_samples, config.samples),
    )


def _begun(config: TrainConfig, network: NetworkRecord, init: Path | None) -> RunRecord:
    """A record that knows what the run starts from and who teaches it."""
    teacher = config.teacher
    told = teacher if teacher is None or teacher.is_file() else teacher / "engine.toml"
    return RunRecord(
        config,
        network,
        init=record_of(init) if init else None,
        init_file=init.name if init else "",
        init_sha256=sha256_of(init) if init else "",
        distil_sha256=tuple(sha256_of(path) for path in config.distil),
        encoder_sha256=sha256_of(config.encoder) if config.encoder else "",
        teacher_record=record_of(teacher) if teacher else None,
        teacher_sha256=sha256_of(told) if told and told.is_file() else "",
    )


def check_rights(config: TrainConfig, init: Path | None) -> None:
    """Refuse weights under `--licence clear` that may have seen other pictures: they remember, and a teacher tells.

    Raises:
        ExportError: as said.
    """
    for path in (init, config.encoder, config.teacher, *config.distil):
        if config.licence != "clear" or path is None or preset_of(path) in CLEAR_PRESETS:
            continue
        if not is_clear(record_of(path)):
            raise ExportError(
                f"{path}: not known to have seen only pictures whose rights are clear (--licence clear); leave it out, "
                "or give weights that were trained with that filter"
            )
