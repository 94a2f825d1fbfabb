"""Train a network on composited and real pictures; stop and go on at any time.

The schedule counts samples, not seconds, so a run that was paused or resumed ends like one that was not; each sample
is drawn by a generator of its own, seeded with the run's seed and the sample's number, so that it is the same in one
process or several, paused or not. It runs on an NVIDIA GPU where there is one, the networks in bfloat16, else on the
CPU in float32 or bfloat16; under `torchrun` in several processes, each of which sees its share of every batch.
Everything a run writes goes to one folder: `last.pt` (to resume), `ema.safetensors` (the weights to export, with the
record of their training), `run.json` (that record: how to repeat it), `log.csv`, `curves.svg`, `board` (for TensorBoard).
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from export import processes
from export.data import published
from export.data.distil import matte_of, softened, teach_at
from export.data.faces import FaceLibrary, draw_face
from export.data.items import Labelled, Sample
from export.data.people import Library, draw
from export.data.prior import previous
from export.data.provenance import is_data_folder
from export.data.readers import LazyFaces, LazyPeople, Unlabelled, detect
from export.data.whole import Whole
from export.errors import ExportError
from export.models import PERSON, TRAINED, ModelSpec
from export.training.board import Board
from export.training.config import TrainConfig, check_folder, check_rights, described
from export.training.learner import Learner, RecipeLearner, begin_stage, prepare
from export.training.optimisers import Plateau, optimiser_of, own_rate, set_rate
from export.training.progress import Progress, append_log, draw_curves, sole
from export.training.recipes import Recipe, Stage, find_recipe, labels_of, under
from export.training.teacher import Teacher
from export.weights.encoder import load_encoder
from export.weights.files import start_weights
from export.weights.record import as_metadata, horizon_of, read_record, write_record
from vcam.files import Draft, write_whole

_Drawn = tuple[Tensor, ...]
"""Image, label, valid, the image before it was spoilt (see `Sample`), and the matte before, of a sample or a batch."""
_Draw = Callable[[np.random.Generator], tuple[np.ndarray[Any, Any], ...]]
"""Draws the planes of one sample, as in `_Drawn`."""
_VALIDATED = 200
_CLIP = 1.0


class _Draws(IterableDataset[_Drawn]):
    """An endless stream of samples from number `start` on, of every batch this process's share.

    batch: of all processes. A worker gives whole batches, in turn with the others.
    """

    def __init__(self, draw_one: _Draw, seed: int, start: int, batch: int) -> None:
        self._draw, self._seed, self._start, self._batch = draw_one, seed, start, batch
        self._share = batch // processes.count()
        self._first = processes.place() * self._share

    def __iter__(self) -> Iterator[_Drawn]:
        info = get_worker_info()
        index, workers = (info.id, info.num_workers) if info else (0, 1)
        while True:
            begin = self._start + index * self._batch + self._first
            for number in range(begin, begin + self._share):
                rng = np.random.default_rng([self._seed, number])
                yield tuple(torch.from_numpy(x) for x in self._draw(rng))
            index += workers


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
    """What a run carries from step to step; `seen` counts samples, `stage` the parts of a recipe."""

    config: TrainConfig
    spec: ModelSpec
    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: _Average
    device: torch.device
    recipe: Recipe | None = None
    teacher: Teacher | None = None
    seen: int = 0
    stage: int = 0
    plateau: Plateau = field(default_factory=Plateau)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The parts of the run; one without a recipe."""
        return self.recipe.stages if self.recipe else (Stage(),)

    def ends(self, stage: int) -> int:
        """The sample with which a stage ends."""
        return self.config.samples * (stage + 1) // len(self.stages)

    def batch(self, stage: int) -> int:
        """Of a stage: a multiple of the number of processes and of the parts of a batch."""
        parts = processes.count() * self.config.accumulate
        return max(parts, round(self.config.batch * self.stages[stage].batch / parts) * parts)

    def rate(self) -> float:
        """The rate of the next step."""
        if self.recipe is None:
            return own_rate(self.config, self.seen)
        begin = self.ends(self.stage - 1) if self.stage else 0
        done = self.seen - begin
        progress = done / max(1, self.ends(self.stage) - begin)
        factor = self.recipe.schedule.rate(progress, done // self.batch(self.stage))
        return self.config.rate * factor * self.plateau.factor


def train(config: TrainConfig, resume: bool = False, init: Path | None = None) -> Path:
    """Train until `config.samples` have been seen; return the file with the averaged weights.

    Raises:
        ExportError: the model or the data is unknown; there is nothing to resume or to start from, or a run in the
            way; weights may not be used under the licence; the loss is no number; nothing can be saved.
    """
    with processes.processes(), ExitStack() as held:
        before = read_record(config.out) if resume else None
        check_folder(config, resume, init, before)
        run = _start(config, init)
        if resume:
            _resume(run)
        cv2.setNumThreads(0)  # its thread pool does not survive the fork of the workers
        draw_one, pictures = _drawing(run)
        if run.recipe and not config.samples:
            config = run.config = replace(config, samples=run.recipe.epochs * pictures)
        if run.seen < config.samples:
            if processes.is_first():
                held.enter_context(sole(config.out))
                record = described(config, run.spec, run.device, run.seen, before, init)
                write_record(config.out, record)
            _loop(run, draw_one, pictures)
        processes.wait()
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
        least = max(64, spec.smallest)
        if any(side < least or side % 32 for side in config.size):
            height, width = config.size
            raise ExportError(f"--size {height}x{width}: give multiples of 32, at least {least}")
        spec = replace(spec, size=config.size)
    spec = replace(spec, classes=PERSON) if config.task == "person" else spec
    return under(find_recipe(config.recipe, config.model), spec) if config.recipe else spec


def _start(config: TrainConfig, init: Path | None) -> _Run:
    spec = _trained(config)
    recipe = find_recipe(config.recipe, config.model) if config.recipe else None
    parts = processes.count() * config.accumulate
    if config.batch % parts:
        raise ExportError(
            f"--batch {config.batch}: give a multiple of {parts} ({processes.count()} processes, "
            f"--accumulate {config.accumulate})"
        )
    torch.manual_seed(config.seed)
    network = spec.build()
    if recipe:
        prepare(recipe, spec, network)
        begin_stage(network, recipe.stages[0])
    check_rights(config, init)
    if config.teacher is not None and (spec.task != "person" or recipe):
        whom = f"--recipe {recipe.name}" if recipe else spec.name
        raise ExportError(f"--teacher {config.teacher}: knows people only; leave it out for {whom}")
    if config.encoder is not None:
        _say(load_encoder(config.encoder, network))
    if init is not None:
        fresh = network.load_state_dict(start_weights(init, network), strict=False).missing_keys
        if fresh:
            names = ", ".join(dict.fromkeys(name.partition(".")[0] for name in fresh))
            _say(f"{init}: has no {names} of {spec.name}; these start at random")
    torch.manual_seed(config.seed + processes.place())  # each drops other channels
    device = processes.device()
    network = processes.synced(network, device)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = optimiser_of(config, network, recipe)
    teacher = Teacher(config.teacher_model, config.teacher, device) if config.teacher else None
    return _Run(config, spec, network, optimiser, _Average(network), device, recipe, teacher)


def _say(text: str) -> None:
    """What happens, once for all processes."""
    if processes.is_first():
        print(text, flush=True)


def _drawing(run: _Run) -> tuple[_Draw, int]:
    """What draws one random sample for the network, and of a recipe the number of its pictures."""
    config, recipe, size = run.config, run.recipe, run.spec.size
    if recipe is None:
        draw_one = _own_drawing(run)

        def drawn(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], ...]:
            sample = draw_one(rng)
            planes = (sample.image, sample.target, sample.valid, sample.clean)
            return (*planes, previous(sample.target, rng)) if run.spec.memory else planes

        return drawn, 0
    whole = Whole(config.data, "train", labels_of(recipe, run.spec), config.licence)

    def changed(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], ...]:
        image, target, valid = whole[int(rng.integers(len(whole)))]
        sample = recipe.change(image, target, valid, size, rng)
        if not run.spec.memory:
            return sample.image, sample.target, sample.valid, sample.clean
        sample, before = published.prior(sample, rng)
        return sample.image, sample.target, sample.valid, sample.clean, before

    return changed, len(whole)


def _own_drawing(run: _Run) -> Callable[[np.random.Generator], Sample]:
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


def _loop(run: _Run, draw_one: _Draw, pictures: int) -> None:
    with closing(_Kept(run)) as kept:
        for index, stage in enumerate(run.stages):
            if run.seen < run.ends(index):
                _run_stage(run, index, stage, draw_one, pictures, kept)


def _run_stage(
    run: _Run, index: int, stage: Stage, draw_one: _Draw, pictures: int, kept: _Kept
) -> None:
    config, batch = run.config, run.batch(index)
    if run.recipe:
        begin_stage(run.network, stage)
        if len(run.stages) > 1:
            _say(f"stage {index + 1} of {len(run.stages)}: {'encoder' if stage.coarse else 'all'}")
    if index != run.stage:
        run.stage, run.optimiser = index, optimiser_of(config, run.network, run.recipe)
    learner = _learner(run, stage)
    draws = _Draws(draw_one, config.seed, run.seen, batch)
    loader = DataLoader(draws, batch // processes.count(), num_workers=config.workers)
    run.network.train()
    falls = run.recipe is not None and run.recipe.schedule.kind == "plateau"
    val = _val_split(run, run.recipe) if run.recipe and falls else None
    epoch = run.seen // pictures if falls else 0
    for planes in _batches(loader):
        loss, logits = _step(run, learner, planes, batch)
        kept.step(loss)
        if falls and run.seen // pictures > epoch:
            epoch = run.seen // pictures
            run.plateau.epoch(_validated(run, learner, val) if val else kept.mean())
        if run.seen >= run.ends(index) or kept.is_due():
            kept.save(planes[0], logits)
        if run.seen >= run.ends(index):
            return


def _learner(run: _Run, stage: Stage) -> nn.Module:
    learner: nn.Module
    if run.recipe:
        learner = RecipeLearner(run.config, run.spec, run.network, run.device, run.recipe, stage)
    else:
        learner = Learner(run.config, run.spec, run.network, run.device, run.teacher)
    if processes.count() == 1:
        return learner
    where = [run.device.index] if run.device.type == "cuda" else None
    # statistics are the same everywhere already, and some heads have no share in every loss
    return DistributedDataParallel(
        learner, device_ids=where, broadcast_buffers=False, find_unused_parameters=True
    )


def _batches(loader: DataLoader[_Drawn]) -> Iterator[_Drawn]:
    """What the loader brings; an error of a worker process without the trace that torch writes before it."""
    try:
        yield from loader
    except ExportError as error:
        last = str(error).strip().splitlines()[-1]
        raise ExportError(
            last.removeprefix(f"{ExportError.__module__}.{ExportError.__name__}: ")
        ) from error


def _step(run: _Run, learner: nn.Module, planes: _Drawn, batch: int) -> tuple[float, Tensor]:
    """One update; the loss, and the logits float [N, K, h, w] of the first part."""
    config = run.config
    set_rate(run.optimiser, run.rate())
    run.optimiser.zero_grad(set_to_none=True)
    total, shown = 0.0, None
    parts = list(zip(*(plane.chunk(config.accumulate) for plane in planes), strict=True))
    for number, part in enumerate(parts, start=1):
        alone = number < len(parts) and isinstance(learner, DistributedDataParallel)
        with learner.no_sync() if alone else nullcontext():  # type: ignore[operator]
            loss, logits = learner(*(x.to(run.device, non_blocking=True) for x in part))
            value = loss.item() / len(parts)
            if not math.isfinite(value):
                raise ExportError(
                    f"{config.out}: the loss is {value} after {run.seen} samples; what was saved is whole, go on "
                    "from it with --resume and a smaller --rate"
                )
            (loss / len(parts)).backward()
        total, shown = total + value, logits.detach() if shown is None else shown
    if run.recipe is None:
        nn.utils.clip_grad_norm_(run.network.parameters(), _CLIP)
    run.optimiser.step()
    run.seen += batch
    # at the start the average would otherwise remember the random weights for thousands of samples
    horizon = max(batch, horizon_of(config.ema_samples, config.samples))
    run.average.update(run.network, min(1 - batch / horizon, run.seen / (run.seen + 10 * batch)))
    assert shown is not None
    return total, shown


def _val_split(run: _Run, recipe: Recipe) -> Whole | None:
    """The pictures of the val split; None if there are none."""
    try:
        return Whole(run.config.data, "val", labels_of(recipe, run.spec), run.config.licence)
    except ExportError:
        return None


@torch.no_grad()
def _validated(run: _Run, learner: nn.Module, whole: Whole) -> float:
    """The mean loss of the first pictures of `whole`, not changed but for their size."""
    run.network.eval()
    losses: list[float] = []
    for index in range(min(len(whole), _VALIDATED)):
        image, target, valid = whole[index]
        fitted = published.stretched(image, target, valid, run.spec.size)
        planes = [torch.from_numpy(x)[None] for x in fitted]
        loss, _ = learner(*(x.to(run.device) for x in (*planes, planes[0])))
        losses.append(loss.item())
    run.network.train()
    return sum(losses) / len(losses)


class _Kept:
    """What of a run is written, and when; in other processes than the first one, nothing."""

    _CURVES_S = 60.0

    def __init__(self, run: _Run) -> None:
        self._run, self._losses = run, list[float]()
        self._saved_at = self._drawn_at = time.monotonic()
        self._progress = Progress(run.config.samples, run.seen)
        self._board = Board(run.config.out / "board") if processes.is_first() else None

    def step(self, loss: float) -> None:
        self._losses.append(loss)
        if self._board:
            self._progress.step(self._run.seen, self.mean())

    def mean(self) -> float:
        """Of the losses since the last save."""
        return sum(self._losses) / len(self._losses)

    def is_due(self) -> bool:
        return time.monotonic() - self._saved_at > self._run.config.checkpoint_s

    def save(self, image: Tensor, logits: Tensor) -> None:
        """Write everything; image, logits: of the last batch."""
        run, loss = self._run, self.mean()
        if self._board:
            _save(run, loss)
            self._progress.saved(run.seen, loss)
            self._board.write(run.seen, loss, run.rate(), image[: len(logits)], logits)
            done = run.seen >= run.config.samples
            if done or time.monotonic() - self._drawn_at > self._CURVES_S:
                draw_curves(run.config.out)
                self._drawn_at = time.monotonic()
        self._saved_at, self._losses = time.monotonic(), []

    def close(self) -> None:
        if self._board:
            self._board.close()


def _save(run: _Run, loss: float) -> None:
    out, average = run.config.out, run.average.state
    state = {
        "network": run.network.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "average": average,
        "seen": run.seen,
        "stage": run.stage,
        "plateau": list(run.plateau.state()),
    }
    weights = {k: v.cpu().contiguous() for k, v in average.items() if v.is_floating_point()}
    try:
        append_log(out, run.seen, loss, run.rate())
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


def _resume(run: _Run) -> None:
    path = run.config.out / "last.pt"
    if not path.exists():
        raise ExportError(f"{path}: nothing to resume; start without --resume")
    try:
        state = torch.load(path, map_location=run.device, weights_only=True)
        run.stage = int(state.get("stage", 0))
        if run.recipe:
            begin_stage(run.network, run.stages[run.stage])
            run.optimiser = optimiser_of(run.config, run.network, run.recipe)
        run.network.load_state_dict(state["network"])
        _load_optimiser(run.optimiser, state["optimiser"])
        run.average.state, run.seen = state["average"], int(state["seen"])
        if "plateau" in state:
            factor, best, waited = state["plateau"]
            run.plateau.load((float(factor), float(best), int(waited)))
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        ValueError,
        TypeError,
    ) as error:
        raise ExportError(
            f"{path}: not the state of a {run.spec.name} run; begin another with --out"
        ) from error


def _load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Older states do not say the factor of the rate of each group, which was 1."""
    for group in state["param_groups"]:
        group.setdefault("scale", 1.0)
    optimiser.load_state_dict(state)
