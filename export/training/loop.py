"""Train a network on composited and real pictures; stop and go on at any time.

The schedule counts samples, not seconds, so a run that was paused or resumed ends like one that was not.
It runs on an NVIDIA GPU where there is one, the networks in bfloat16, else on the CPU in float32 or bfloat16.
Everything a run writes goes to one folder: `last.pt` (to resume), `ema.safetensors` (the weights to export, with the
record of their training), `run.json` (that record: how to repeat it), `log.csv`, `board` (for TensorBoard).
"""

from __future__ import annotations

import csv
import math
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from export.data.distil import matte_of, softened, teach_at
from export.data.faces import FaceLibrary, draw_face
from export.data.items import Labelled, Sample
from export.data.people import Library, draw
from export.data.prior import previous
from export.data.provenance import is_data_folder
from export.data.readers import LazyFaces, LazyPeople, Unlabelled, detect
from export.errors import ExportError
from export.models import PERSON, TRAINED, ModelSpec
from export.training.board import Board
from export.training.config import TrainConfig, check_folder, check_rights, described
from export.training.losses import consistency_loss, logits_of, teacher_loss, total_loss
from export.training.teacher import Teacher
from export.weights.files import start_weights
from export.weights.record import as_metadata, horizon_of, read_record, warmup_of, write_record
from vcam.files import Draft, write_whole

_Drawn = tuple[Tensor, ...]
"""Image, label, valid, the image before it was spoilt (see `Sample`), and the matte before, of a sample or a batch."""


class _Draws(IterableDataset[_Drawn]):
    """An endless stream of samples; `start` moves the seed so that a resumed run does not repeat itself."""

    def __init__(
        self,
        draw_one: Callable[[np.random.Generator], Sample],
        seed: tuple[int, int],
        remembers: bool,
    ) -> None:
        self._draw, self._seed, self._remembers = draw_one, seed, remembers

    def __iter__(self) -> Iterator[_Drawn]:
        info = get_worker_info()
        rng = np.random.default_rng([*self._seed, info.id if info else 0])
        while True:
            sample = self._draw(rng)
            planes = [sample.image, sample.target, sample.valid, sample.clean]
            if self._remembers:
                planes.append(previous(sample.target, rng))
            yield tuple(torch.from_numpy(x) for x in planes)


def _rate(config: TrainConfig, seen: int) -> float:
    """Linear warm-up, then half a cosine down to one hundredth."""
    warmup = warmup_of(config.warmup_samples, config.samples)
    if seen < warmup:
        return config.rate * (seen + config.batch) / warmup
    progress = min(1.0, (seen - warmup) / max(1, config.samples - warmup))
    return config.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


class _Average:
    """Exponential moving average of every floating-point tensor of a network."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, keep: float) -> None:
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - keep)
            else:
                self.state[key].copy_(value)


@dataclass(slots=True)
class _Run:
    """What a run carries from step to step; `seen` counts samples."""

    config: TrainConfig
    spec: ModelSpec
    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: _Average
    device: torch.device
    teacher: Teacher | None = None
    seen: int = 0


def train(config: TrainConfig, resume: bool = False, init: Path | None = None) -> Path:
    """Train until `config.samples` have been seen; return the file with the averaged weights.

    Raises:
        ExportError: the model or the data is unknown; there is nothing to resume or to start from, or a run in the
            way; weights may not be used under the licence; the loss is no number; nothing can be saved.
    """
    before = read_record(config.out) if resume else None
    check_folder(config, resume, init, before)
    run = _start(config, init)
    if resume:
        _resume(run)
    cv2.setNumThreads(0)  # its thread pool does not survive the fork of the workers
    draw_one = _drawing(run)
    if run.seen < config.samples:
        config.out.mkdir(parents=True, exist_ok=True)
        write_record(config.out, described(config, run.spec, run.device, run.seen, before, init))
        _loop(run, draw_one)
    return config.out / "ema.safetensors"


def _trained(config: TrainConfig) -> ModelSpec:
    """What is trained.

    Raises:
        ExportError: this project trains no such model, or it has no such task or size.
    """
    spec = TRAINED.get(config.model)
    if spec is None:
        known = ", ".join(TRAINED)
        raise ExportError(
            f"{config.model}: only {known} are trained here; convert published weights instead"
        )
    if config.task not in ("", "person", spec.task):
        raise ExportError(f"--task {config.task}: {spec.name} learns {spec.task} or person")
    if config.size is not None:
        if any(side < 64 or side % 32 for side in config.size):
            height, width = config.size
            raise ExportError(f"--size {height}x{width}: give multiples of 32, at least 64")
        spec = replace(spec, size=config.size)
    return replace(spec, classes=PERSON) if config.task == "person" else spec


def _start(config: TrainConfig, init: Path | None) -> _Run:
    spec = _trained(config)
    torch.manual_seed(config.seed)
    network = spec.build()
    check_rights(config, init)
    if config.teacher is not None and spec.task != "person":
        raise ExportError(
            f"--teacher {config.teacher}: knows people only; leave it out for {spec.name}"
        )
    if init is not None:
        fresh = network.load_state_dict(start_weights(init, network), strict=False).missing_keys
        if fresh:
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in fresh))
            print(f"{init}: has no {parts} of {spec.name}; these start at random", flush=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.rate, weight_decay=config.weight_decay
    )
    teacher = Teacher(config.teacher_model, config.teacher, device) if config.teacher else None
    return _Run(config, spec, network, optimiser, _Average(network), device, teacher)


def _drawing(run: _Run) -> Callable[[np.random.Generator], Sample]:
    """What draws one random sample for the network."""
    config, size, finish = run.config, run.spec.size, run.config.finish
    folders = [folder for folder in config.data if is_data_folder(folder)]
    readers = [
        detect(x, glasses_out=not config.keep_glasses) for x in config.data if x not in folders
    ]
    for reader in readers:
        if isinstance(reader, Unlabelled) and config.teacher is None:
            raise ExportError(
                f"{reader.folder}: pictures without labels; give a --teacher, or leave the folder out"
            )
    data = folders[0] if folders else None
    if len(folders) > 1:
        raise ExportError(
            f"--data {folders[1]}: a second folder with person/; give one of these, and others as sets"
        )
    if run.spec.task == "face":
        faces = FaceLibrary.read(
            data, "train", config.licence, LazyFaces(readers, "train", config.licence)
        )
        return lambda rng: draw_face(faces, size, rng, finish, config.occluders)
    more = LazyPeople(readers, "train", config.licence)
    library = Library.read(data, "train", config.licence, more, _soften(config))
    return lambda rng: draw(library, size, rng, finish)


_BANDS = {"person/wild": 7, "person/ccp": 3, "face/celebamask": 3}
_BAND_PX = 1
"""How wide a band along a hard outline is left to the teachers, by set; the labels of other sets are a matte's."""


def _soften(config: TrainConfig) -> Callable[[str, Labelled], Labelled] | None:
    """What softens hard labels with the teachers of `config.distil`; None without any."""
    if not config.distil:
        return None
    teachers = [
        Teacher(config.teacher_model if x.suffix != ".tflite" else "selfie", x)
        for x in config.distil
    ]
    teach = [partial(teach_at, x.alpha) for x in teachers]

    def soften(name: str, item: Labelled) -> Labelled:
        mine = teach if name in _BANDS else teach[:1]
        return softened(item, matte_of(mine, item.image), _BANDS.get(name, _BAND_PX))

    return soften


def _loop(run: _Run, draw_one: Callable[[np.random.Generator], Sample]) -> None:
    config = run.config
    draws = _Draws(draw_one, (config.seed, run.seen), run.spec.memory)
    loader = DataLoader(draws, batch_size=config.batch, num_workers=config.workers)
    forward: Any = torch.compile(run.network) if config.compile else run.network
    run.network.train()
    saved_at, losses = time.monotonic(), []
    with closing(Board(config.out / "board")) as board:
        for batch in _batches(loader):
            loss, logits = _step(run, forward, batch)
            losses.append(loss)
            done = run.seen >= config.samples
            if done or time.monotonic() - saved_at > config.checkpoint_s:
                _save(run, sum(losses) / len(losses))
                board.write(
                    run.seen, sum(losses) / len(losses), _rate(config, run.seen), batch[0], logits
                )
                saved_at, losses = time.monotonic(), []
            if done:
                return


def _batches(loader: DataLoader[_Drawn]) -> Iterator[_Drawn]:
    """What the loader brings; an error of a worker process without the trace that torch writes before it."""
    try:
        yield from loader
    except ExportError as error:
        last = str(error).strip().splitlines()[-1]
        raise ExportError(
            last.removeprefix(f"{ExportError.__module__}.{ExportError.__name__}: ")
        ) from error


def _step(run: _Run, forward: Any, batch: _Drawn) -> tuple[float, Tensor]:
    """One update; the loss, and the logits float [N, K, h, w]."""
    config = run.config
    for group in run.optimiser.param_groups:
        group["lr"] = _rate(config, run.seen)
    loss, logits = _loss(run, forward, *(part.to(run.device, non_blocking=True) for part in batch))
    value = loss.item()
    if not math.isfinite(value):
        raise ExportError(
            f"{config.out}: the loss is {value} after {run.seen} samples; what was saved is whole, go on from it "
            "with --resume and a smaller --rate"
        )
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimiser.step()
    run.seen += config.batch
    # at the start the average would otherwise remember the random weights for thousands of samples
    horizon = max(config.batch, horizon_of(config.ema_samples, config.samples))
    run.average.update(
        run.network, min(1 - config.batch / horizon, run.seen / (run.seen + 10 * config.batch))
    )
    return value, logits


def _loss(
    run: _Run,
    forward: Any,
    image: Tensor,
    label: Tensor,
    valid: Tensor,
    clean: Tensor,
    *before: Tensor,
) -> tuple[Tensor, Tensor]:
    """The loss and the logits.

    Pictures: uint8 [N, H, W, 3] RGB; label, valid: uint8 [N, H, W], see `total_loss`; before: of a network that
    remembers, uint8 [N, H, W], the matte of the frame before.
    """
    state = [matte[:, None].float() / 255 for matte in before]

    def answer_to(pictures: Tensor) -> Any:
        pixels = run.spec.normalise(pictures, *state).contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            run.device.type, torch.bfloat16, enabled=run.config.in_bfloat16(run.device)
        ):
            answer = forward(pixels)
        return (
            tuple(part.float() for part in answer) if isinstance(answer, tuple) else answer.float()
        )

    answer = answer_to(image)
    loss = total_loss(run.spec, answer, label, valid)
    logits = logits_of(answer)
    if run.teacher is not None:
        loss = loss + teacher_loss(logits, run.teacher.alpha(image), valid.float())
    if run.config.consistency:
        with torch.no_grad():
            calm = logits_of(answer_to(clean))
        loss = loss + run.config.consistency * consistency_loss(logits, calm)
    return loss, logits


def _save(run: _Run, loss: float) -> None:
    out, average = run.config.out, run.average.state
    state = {
        "network": run.network.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "average": average,
        "seen": run.seen,
    }
    weights = {k: v.cpu().contiguous() for k, v in average.items() if v.is_floating_point()}
    try:
        with (out / "log.csv").open("a", newline="") as file:
            csv.writer(file).writerow(
                [run.seen, f"{loss:.5f}", f"{_rate(run.config, run.seen):.2e}"]
            )
        metadata = as_metadata(read_record(out))
        with Draft(out / "last.pt", overwrite=True) as draft:
            torch.save(state, draft.file)
            draft.commit()
        write_whole(out / "ema.safetensors", save(weights, metadata))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ExportError(
            f"{out}: cannot be written ({reason}); make room and go on with --resume"
        ) from error
    print(f"{run.seen} samples, loss {loss:.4f}", flush=True)


def _resume(run: _Run) -> None:
    path = run.config.out / "last.pt"
    if not path.exists():
        raise ExportError(f"{path}: nothing to resume; start without --resume")
    try:
        state = torch.load(path, map_location=run.device, weights_only=True)
        run.network.load_state_dict(state["network"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.average.state, run.seen = state["average"], int(state["seen"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ExportError(
            f"{path}: not the state of a {run.spec.name} run; begin another with --out"
        ) from error
